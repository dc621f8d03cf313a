/**
 * BGP in a lab, by real daemons: GoBGP in each balancer, BIRD in the router.
 *
 *     lb1  AS 65001  gobgpd ──┐  BGP over IPv4, both families; hold time 3 s
 *     lb2  AS 65001  gobgpd ──┴── bird  AS 65000 ── kernel routes of the router, several next hops at once
 *                              BFD 50 ms × 3
 *
 * The router takes single addresses in the networks of the lab's VIPs from the balancers, nothing else.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { birdConfig, gobgpConfig } from "./bgp-config.ts";
import { LabError } from "./errors.ts";
import type { Lab } from "./lab.ts";
import { packageRoot } from "./paths.ts";
import { findTool } from "./process.ts";

const READY_MS = 10_000;
const STOP_MS = 5000;

/** Where the set-up puts GoBGP. */
export function gobgpProgram(): string {
  return join(packageRoot(), "build", "gobgpd");
}

/** Why BGP cannot run in a lab here; undefined when it can. */
export function bgpProblem(): string | undefined {
  if (!existsSync(gobgpProgram()))
    return `${gobgpProgram()} is missing: npm run setup builds it, as root, with Go or with python3's pip (it says why it could not)`;
  for (const tool of ["bird", "birdc"])
    if (findTool(tool) === undefined)
      return `${tool} is not installed: npm run setup does that (Debian package bird2)`;
  return undefined;
}

/** A daemon in a node of a lab. */
export interface LabDaemon {
  node: string;
  pid: number;
  /** Ends it and waits for that. May be called again. */
  stop(signal?: "SIGTERM" | "SIGKILL"): Promise<void>;
}

export interface LabSpeaker extends LabDaemon {
  /** gRPC address of this GoBGP, for `announce.gobgp`; the same after a restart. */
  target: string;
  /** Ends it as `stop` does, but it can be started again. */
  halt(signal?: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** Halts it if it runs, and starts it again on the same socket. */
  restart(signal?: "SIGTERM" | "SIGKILL"): Promise<void>;
}

export interface LabRouter extends LabDaemon {
  /** BIRD's answer to a command such as `show protocols`. */
  ask(...command: string[]): Promise<string>;
  /** Resolves when the sessions with these nodes are established, BFD included. */
  established(nodes: string[], limitMs?: number): Promise<void>;
}

/** Starts BIRD in the router, with a session for each balancer. Throws LAB_PRIVILEGE, LAB_COMMAND. */
export async function startRouter(lab: Lab): Promise<LabRouter> {
  need();
  const folder = newFolder(lab);
  const socket = join(folder, "bird.ctl");
  const config = join(folder, "bird.conf");
  writeFileSync(config, birdConfig(lab));
  const argv = ["bird", "-f", "-c", config, "-s", socket, "-P", join(folder, "bird.pid")];
  const daemon = await startDaemon(lab, "router", argv, socket);
  const ask = async (...command: string[]) =>
    (await lab.exec("router", ["birdc", "-s", socket, ...command])).stdout;
  return {
    node: "router",
    pid: daemon.pid,
    ask,
    stop: async (signal) => {
      await daemon.stop(signal);
      rmSync(folder, { recursive: true, force: true });
    },
    async established(nodes, limitMs = 15_000) {
      const until = performance.now() + limitMs;
      for (;;) {
        const protocols = await ask("show", "protocols");
        const bfd = await ask("show", "bfd", "sessions");
        const up = nodes.every(
          (node) =>
            new RegExp(`^${node} .*Established`, "m").test(protocols) &&
            new RegExp(`^${lab.address(node, "v4").replaceAll(".", "\\.")} .* Up `, "m").test(bfd),
        );
        if (up) return;
        if (performance.now() > until)
          throw new LabError(
            "LAB_COMMAND",
            `BGP with ${nodes.join(", ")} is not established:\n${protocols}${bfd}`,
          );
        await sleep(50);
      }
    },
  };
}

/** Starts GoBGP in a balancer, with a session to the router. Throws LAB_PRIVILEGE, LAB_COMMAND. */
export async function startSpeaker(lab: Lab, node: string): Promise<LabSpeaker> {
  need();
  const folder = newFolder(lab);
  const socket = join(folder, "gobgp.sock");
  const config = join(folder, "gobgpd.toml");
  writeFileSync(config, gobgpConfig(lab, node));
  const target = `unix://${socket}`;
  const argv = [gobgpProgram(), "-f", config, "--api-hosts", target, "--pprof-disable", "--metrics-path", ""];
  const start = () => {
    rmSync(socket, { force: true });
    return startDaemon(lab, node, argv, socket);
  };
  let daemon = await start();
  return {
    node,
    target,
    get pid() {
      return daemon.pid;
    },
    halt: (signal) => daemon.stop(signal),
    async restart(signal) {
      await daemon.stop(signal);
      daemon = await start();
    },
    async stop(signal) {
      await daemon.stop(signal);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function need(): void {
  const problem = bgpProblem();
  if (problem !== undefined) throw new LabError("LAB_PRIVILEGE", problem);
}

const folders = new Set<string>();
process.on("exit", () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function newFolder(lab: Lab): string {
  const folder = mkdtempSync(join(tmpdir(), `guideway-${lab.prefix}-`));
  folders.add(folder);
  return folder;
}

/** Starts a daemon and returns when something answers on its unix socket. */
async function startDaemon(lab: Lab, node: string, argv: string[], socket: string): Promise<LabDaemon> {
  const child = lab.spawn(node, argv);
  let told = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (text: Buffer) => {
      told = (told + text).slice(-4000);
    });
  const ended = once(child, "exit");
  ended.catch(() => {});
  const until = performance.now() + READY_MS;
  while (!(await answers(socket))) {
    const over = child.exitCode !== null || child.signalCode !== null;
    if (!over && performance.now() < until) {
      await sleep(10);
      continue;
    }
    child.kill("SIGKILL");
    throw new LabError(
      "LAB_COMMAND",
      `${argv[0]} in ${node} did not start: ${told.trim() || child.exitCode}`,
    );
  }
  return { node, pid: child.pid!, stop: (signal = "SIGTERM") => end(child, signal, ended) };
}

async function end(child: ChildProcess, signal: NodeJS.Signals, ended: Promise<unknown>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await ended;
  clearTimeout(timer);
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.on("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", () => resolve(false));
  });
}
