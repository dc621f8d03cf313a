// The whole program under test: `guideway run` as a process of its own inside a lab's balancer, with its own
// configuration file and admin socket.
//
//   state    reached by                          in it
//   running  startBalancer returned              packets of VIPs go to its workers
//   ended    stop, kill9, close, its own death   `log` is complete; after close its folder is gone too
//
// Nothing outlives the test process: `close` belongs into an `after` hook, and a process that ends without it
// takes its balancers and their folders along.

import { type ChildProcess, execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { AdminClient } from "../../src/admin/client.ts";
import type { Overview } from "../../src/control/overview.ts";
import type { FrameAudit } from "../../src/dataplane/audit.ts";
import type { BackendState } from "../../src/dataplane/backend-records.ts";
import type { Lab } from "../../src/lab/lab.ts";
import type { RunResult } from "../../src/lab/process.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const READY_MS = 30_000;
const STOP_MS = 15_000;
const STEP_MS = 20;

/** A line of the log, as pino wrote it; a line that is no JSON is all `msg`. */
export interface LogLine {
  level: number;
  msg: string;
  [field: string]: unknown;
}

export interface Ending {
  /** Exit code; null when a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
  log: readonly LogLine[];
}

export interface BalancerOptions {
  /** Where its configuration and its socket are; by default a new folder, which `close` removes. */
  folder?: string;
  /** Options of the section `change`. */
  change?: object;
  cwd?: string;
  env?: Record<string, string>;
  /** Options of `run`, besides the configuration. */
  parameters?: string[];
  /** Makes the command that is executed of the balancer's own; the process id must stay. */
  wrap?: (argv: string[]) => string[];
  /** More of the section `admin`. */
  admin?: object;
}

/** Balancers that run, and folders that are there: a sudden end of this process removes both. */
const running = new Set<ChildProcess>();
const folders = new Set<string>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A folder of its own for balancers that follow each other; gone with this process at the latest. */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "guideway-e2e-"));
  folders.add(folder);
  return folder;
}

export class Balancer {
  readonly folder: string;
  /** Path of the admin socket. */
  readonly socket: string;
  readonly log: LogLine[] = [];
  readonly admin: AdminClient;
  readonly #lab: Lab;
  readonly #node: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(lab: Lab, node: string, child: ChildProcess, folder: string, socket: string) {
    this.#lab = lab;
    this.#node = node;
    this.folder = folder;
    this.socket = socket;
    this.#child = child;
    this.admin = new AdminClient(socket);
    running.add(child);
    this.#ended = once(child, "close").then(() => running.delete(child));
    createInterface({ input: child.stderr! }).on("line", (line) => this.log.push(parseLine(line)));
    child.stdout!.resume();
  }

  /** @throws Error with the log when it ends, or is not `running` in time */
  static async start(lab: Lab, node: string, config: object, options: BalancerOptions): Promise<Balancer> {
    const folder = options.folder ?? newFolder();
    const socket = join(folder, "admin.sock");
    const file = join(folder, "guideway.yaml");
    const document = { ...config, admin: { socket, ...options.admin } };
    writeFileSync(
      file,
      stringify({ ...document, change: { state: join(folder, "state"), ...options.change } }),
    );
    const argv = [process.execPath, MAIN, "--log", "json", "--log-level", "debug", "run", "--config", file];
    argv.push(...(options.parameters ?? []));
    const child = lab.spawn(node, options.wrap?.(argv) ?? argv, {
      ...(options.cwd && { cwd: options.cwd }),
      ...(options.env && { env: options.env }),
    });
    const balancer = new Balancer(lab, node, child, folder, socket);
    try {
      await eventually(
        "the balancer runs",
        () => {
          if (balancer.hasEnded) throw new Error(`it ended with ${child.exitCode ?? child.signalCode}`);
          return balancer.logged("running") !== undefined;
        },
        READY_MS,
      );
    } catch (error) {
      await balancer.kill9();
      throw new Error(`${(error as Error).message}; its log:\n${balancer.text}`, { cause: error });
    }
    return balancer;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** The first line of the log with this message and these fields. */
  logged(msg: string, fields: Record<string, unknown> = {}): LogLine | undefined {
    return this.log.find(
      (line) => line.msg === msg && Object.entries(fields).every(([key, value]) => line[key] === value),
    );
  }

  get text(): string {
    return this.log.map((line) => JSON.stringify(line)).join("\n");
  }

  /** Its configuration file. */
  get file(): string {
    return join(this.folder, "guideway.yaml");
  }

  /** Runs a command that operates it, as a process in its node. */
  command(...argv: string[]): Promise<RunResult> {
    return this.#lab.exec(this.#node, [process.execPath, MAIN, ...argv, "--socket", this.socket], {
      check: false,
    });
  }

  status(): Promise<Overview> {
    return this.admin.status();
  }

  frames(): Promise<FrameAudit> {
    return this.admin.frames();
  }

  async setBackendState(pool: string, backend: string, state: BackendState, force = false): Promise<void> {
    await this.admin.setBackendState(pool, backend, state, force);
  }

  /** Ends it by a signal and waits. @throws Error when it does not end in time; then it is killed */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Ending> {
    const child = this.#child;
    if (!this.hasEnded) child.kill(signal);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, STOP_MS);
    await this.#ended;
    clearTimeout(timer);
    if (late) throw new Error(`no end within ${STOP_MS} ms after ${signal}; its log:\n${this.text}`);
    return { code: child.exitCode, signal: child.signalCode, log: this.log };
  }

  /** Kills it: nothing that it holds is given back by itself. */
  async kill9(): Promise<void> {
    await this.stop("SIGKILL");
  }

  /** Ends it if it runs, and removes its folder. May be called again. */
  async close(): Promise<void> {
    await this.admin.close().catch(() => {});
    if (!this.hasEnded) await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
    folders.delete(this.folder);
  }
}

/**
 * Starts `guideway run` in a node with a configuration, whose `admin.socket` is set here, and returns when it is
 * running.
 */
export function startBalancer(
  lab: Lab,
  node: string,
  config: object,
  options: BalancerOptions = {},
): Promise<Balancer> {
  return Balancer.start(lab, node, config, options);
}

function parseLine(line: string): LogLine {
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    return { level: 60, msg: line };
  }
}

/** Asks again until the answer is true. @throws Error that says what did not come true, with the last answer or error */
export async function eventually(
  what: string,
  probe: () => unknown,
  limitMs = 10_000,
  stepMs = STEP_MS,
): Promise<void> {
  const until = performance.now() + limitMs;
  for (;;) {
    if (await probe()) return;
    if (performance.now() > until) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(stepMs);
  }
}

/** Names of processes that run in a node. */
export function processesOf(lab: Lab, node: string): string[] {
  const pids = execFileSync("ip", ["netns", "pids", lab.namespace(node)], { encoding: "utf8" });
  return pids
    .split("\n")
    .filter(Boolean)
    .map((pid) => {
      try {
        return execFileSync("ps", ["-o", "args=", "-p", pid], { encoding: "utf8" }).trim();
      } catch {
        return "";
      }
    })
    .filter(Boolean);
}
