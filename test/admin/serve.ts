// A server on a socket of its own and, when asked, on a free port of loopback; gone with its test.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { pino } from "pino";
import { Agent, type Dispatcher, request } from "undici";
import { AdminServer } from "../../src/admin/server.ts";
import type { AdminConfig } from "../../src/config/schema.ts";
import { MemoryMachine } from "./machine.ts";

export type After = Pick<TestContext, "after">;

export interface Served {
  machine: MemoryMachine;
  server: AdminServer;
  config: AdminConfig;
  /** Lines of its log. */
  log: string[];
  folder: string;
}

export interface Reply {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: whatever JSON it is
  json: any;
}

export function folderFor(test: After): string {
  const folder = mkdtempSync(join(tmpdir(), "guideway-admin-"));
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Port 0 is a free one. */
export const ANY_PORT = { host: "127.0.0.1", port: 0 };

export async function serve(
  test: After,
  options: Partial<AdminConfig> = {},
  machine = new MemoryMachine(),
): Promise<Served> {
  const folder = folderFor(test);
  const config: AdminConfig = { socket: join(folder, "admin.sock"), ...options };
  const log: string[] = [];
  const logger = pino({ level: "trace" }, { write: (line: string) => void log.push(line) });
  const server = await AdminServer.listen(machine, config, logger);
  test.after(() => server.close());
  return { machine, server, config, log, folder };
}

interface AskOptions {
  method?: Dispatcher.HttpMethod;
  headers?: Record<string, string>;
  body?: string;
  /** For the unix socket or TLS. */
  connect?: Agent.Options["connect"];
}

export async function ask(
  url: string,
  { connect, method = "GET", ...options }: AskOptions = {},
): Promise<Reply> {
  const agent = new Agent({ ...(connect && { connect }) });
  try {
    const { statusCode, headers, body } = await request(url, { dispatcher: agent, method, ...options });
    const text = await body.text();
    const json = /json/.test(String(headers["content-type"])) ? JSON.parse(text) : undefined;
    return { status: statusCode, headers, text, json };
  } finally {
    await agent.close();
  }
}

/** Asks by the unix socket. */
export function askSocket({ config }: Served, path: string, options: AskOptions = {}): Promise<Reply> {
  return ask(`http://localhost${path}`, { ...options, connect: { socketPath: config.socket } });
}

export const json = (value: unknown): { headers: Record<string, string>; body: string } => ({
  headers: { "content-type": "application/json" },
  body: JSON.stringify(value),
});
