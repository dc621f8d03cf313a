// A real GoBGP with an API on a unix socket and no peers, and what it knows.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { GobgpClient } from "../../src/announce/gobgp-client.ts";
import { gobgpProgram } from "../../src/lab/bgp.ts";
import type { Logger } from "../../src/log.ts";

/** Why tests with GoBGP cannot run: false when they can. @throws Error as root, for whom the set-up builds it */
export function skipReason(): string | false {
  if (existsSync(gobgpProgram())) return false;
  const problem = `${gobgpProgram()} is missing: npm run setup builds it, as root`;
  if (process.geteuid?.() === 0) throw new Error(problem);
  return problem;
}

const folders = new Set<string>();
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "guideway-announce-"));
  folders.add(folder);
  return folder;
}

export class Gobgpd {
  readonly folder = newFolder();
  readonly target: string;
  readonly #socket: string;
  #child: ChildProcess | undefined;

  constructor() {
    this.#socket = join(this.folder, "api.sock");
    this.target = `unix://${this.#socket}`;
  }

  static async started(): Promise<Gobgpd> {
    const daemon = new Gobgpd();
    await daemon.start();
    return daemon;
  }

  /** `bgp: false` leaves BGP itself unstarted. */
  async start({ bgp = true } = {}): Promise<void> {
    rmSync(this.#socket, { force: true });
    const config = join(this.folder, "gobgpd.toml");
    // No port: nothing listens for peers.
    writeFileSync(config, '[global.config]\n  as = 65001\n  router-id = "192.0.2.1"\n  port = -1\n');
    const argv = ["--api-hosts", this.target, "--pprof-disable", "--metrics-path", "", "--disable-stdlog"];
    const child = spawn(gobgpProgram(), [...argv, ...(bgp ? ["-f", config] : [])], { stdio: "ignore" });
    this.#child = child;
    running.add(child);
    child.on("exit", () => running.delete(child));
    for (let tries = 0; tries < 500; tries++) {
      if (await answers(this.#socket)) return;
      await sleep(10);
    }
    throw new Error("gobgpd did not start");
  }

  /** From the return on it does nothing. */
  async pause(): Promise<void> {
    const child = this.#child!;
    child.kill("SIGSTOP");
    const state = () => /\) (\w)/.exec(readFileSync(`/proc/${child.pid}/stat`, "utf8"))?.[1];
    await eventually("gobgpd is stopped", () => state() === "T");
  }

  resume(): void {
    this.#child!.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
    folders.delete(this.folder);
  }

  /** Does something with a client of its own. */
  async with<T>(use: (client: GobgpClient) => Promise<T>): Promise<T> {
    const client = new GobgpClient(this.target);
    try {
      return await use(client);
    } finally {
      client.close();
    }
  }

  /** Each path that it has for these prefixes, as `prefix next hop communities`, sorted. */
  async paths(...prefixes: string[]): Promise<string[]> {
    const found = await this.with(async (client) => [
      ...(await client.paths(
        4,
        prefixes.filter((prefix) => !prefix.includes(":")),
      )),
      ...(await client.paths(
        6,
        prefixes.filter((prefix) => prefix.includes(":")),
      )),
    ]);
    return found
      .map(({ nlri, pattrs }) => {
        const { prefix, prefixLen } = nlri.prefix!;
        const hop = pattrs.flatMap(({ nextHop, mpReach }) => nextHop?.nextHop ?? mpReach?.nextHops ?? []);
        const communities = pattrs.flatMap((each) => each.communities?.communities ?? []);
        return [`${prefix}/${prefixLen}`, ...hop, ...communities].join(" ");
      })
      .sort();
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.on("connect", () => resolve(probe.destroy() !== undefined));
    probe.on("error", () => resolve(false));
  });
}

/** A logger that keeps `message reason` of each line. */
export function keptLog(): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const write = (line: string) => {
    const { msg, reason } = JSON.parse(line) as { msg: string; reason?: string };
    lines.push(reason === undefined ? msg : `${msg}: ${reason}`);
  };
  return { log: pino({ level: "info", base: null }, { write }), lines };
}

/** Asks again until the answer is true. @throws Error that says what did not come true */
export async function eventually(what: string, probe: () => unknown, limitMs = 5000): Promise<void> {
  const until = performance.now() + limitMs;
  while (!(await probe())) {
    if (performance.now() > until) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(5);
  }
}
