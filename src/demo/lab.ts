// The demo with root: a namespace lab with one balancer, a client and HTTP servers; real requests to the VIP.

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stringify } from "yaml";
import { AdminClient } from "../admin/client.ts";
import type { MachineStatus } from "../control/status.ts";
import { entryFile } from "../entry.ts";
import { GuidewayError } from "../errors.ts";
import { Lab } from "../lab/lab.ts";
import type { LoadReport } from "../lab/load.ts";
import { type LabClient, type LabServer, startLoad, startServers, vipUrl } from "../lab/traffic.ts";
import { type DemoState, type DemoStep, describeChange, packetsOf, script } from "./state.ts";

const VIP = "10.99.0.1";
const POOL = "web";
const SOCKET = "admin.sock";
const START_MS = 20_000;
const STOP_MS = 10_000;
const TICK_MS = 500;
const CONCURRENCY = 8;
const LONG_LIVED = 8;

/** The balancer's configuration for a lab. */
function configuration(lab: Lab, folder: string): string {
  const backends = lab.nodes("backend").map((name) => ({ name, address: lab.address(name, "v4") }));
  return stringify({
    machine: { name: "demo", address: lab.address("lb1", "v4"), address6: lab.address("lb1", "v6") },
    interfaces: ["eth0"],
    conntrack: { flows: 65536 },
    pools: { [POOL]: { backends } },
    vips: [{ name: "web", address: VIP, port: 80, pool: POOL }],
    change: { state: join(folder, "state") },
    admin: { socket: join(folder, SOCKET) },
  });
}

export class LabDemo {
  readonly #lab: Lab;
  readonly #folder: string;
  readonly #admin: AdminClient;
  #servers: LabServer[] = [];
  #balancer: ChildProcess | undefined;
  #balancerSays = "";
  #client: LabClient | undefined;
  readonly #requests = { total: 0, failed: 0, perSecond: 0 };
  readonly #answered = new Map<string, { requests: number; perSecond: number }>();
  #connections = { open: 0, lost: 0, moved: 0 };
  #last: { status: MachineStatus; atMs: number } | undefined;
  readonly #events: string[] = [];
  #startedMs = 0;

  private constructor(lab: Lab) {
    this.#lab = lab;
    this.#folder = mkdtempSync(join(tmpdir(), "guideway-demo-"));
    this.#admin = new AdminClient(join(this.#folder, SOCKET));
  }

  /** Builds the lab and starts everything in it. @throws LabError; nothing is left then */
  static async start(): Promise<LabDemo> {
    const lab = await Lab.up({ balancers: 1, backends: 4 });
    const demo = new LabDemo(lab);
    try {
      demo.#servers = await startServers(lab);
      await demo.#startBalancer();
      demo.#startedMs = performance.now();
      demo.#client = startLoad(lab, {
        urls: [vipUrl(VIP, 80)],
        concurrency: CONCURRENCY,
        longLived: LONG_LIVED,
        intervalMs: TICK_MS,
        onReport: (report) => demo.#count(report),
      });
      return demo;
    } catch (error) {
      await demo.stop();
      throw error;
    }
  }

  async #startBalancer(): Promise<void> {
    const file = join(this.#folder, "guideway.yaml");
    writeFileSync(file, configuration(this.#lab, this.#folder));
    const argv = [
      process.execPath,
      entryFile(import.meta.url, "../main"),
      "--log",
      "text",
      "run",
      "--config",
      file,
    ];
    const child = this.#lab.spawn("lb1", argv, { stdio: ["ignore", "ignore", "pipe"] });
    this.#balancer = child;
    const running = new Promise<boolean>((resolve) => {
      child.stderr!.setEncoding("utf8").on("data", (text: string) => {
        this.#balancerSays = (this.#balancerSays + text).slice(-4000);
        if (this.#balancerSays.includes(" running ")) resolve(true);
      });
      child.once("exit", () => resolve(false));
      child.once("error", () => resolve(false));
      setTimeout(() => resolve(false), START_MS).unref();
    });
    if (!(await running)) {
      throw new GuidewayError("DEMO", `the balancer did not start; it said:\n${this.#balancerSays}`);
    }
  }

  #count(report: LoadReport): void {
    const seconds = report.durationMs / 1000;
    this.#requests.total += report.ok + report.failed;
    this.#requests.failed += report.failed;
    this.#requests.perSecond = report.ok / seconds;
    for (const backend of this.#answered.values()) backend.perSecond = 0;
    for (const [name, requests] of Object.entries(report.backends)) {
      const before = this.#answered.get(name)?.requests ?? 0;
      this.#answered.set(name, { requests: before + requests, perSecond: requests / seconds });
    }
    const { open, lost, moved } = report.longLived;
    this.#connections = { open, lost: this.#connections.lost + lost, moved: this.#connections.moved + moved };
    if (report.failed > 0) this.#events.push(`failed: ${JSON.stringify(report.reasons)}`);
  }

  /** A new state every half second, until the signal. What the script says happens on the way. */
  async *watch(signal: AbortSignal, forSeconds: number | undefined): AsyncGenerator<DemoState> {
    const steps = script("be2", forSeconds);
    while (!signal.aborted) {
      await sleep(TICK_MS, undefined, { signal }).catch(() => undefined);
      const { exitCode, signalCode } = this.#balancer!;
      if (exitCode !== null || signalCode !== null) {
        throw new GuidewayError("DEMO", `the balancer ended by itself; it said:\n${this.#balancerSays}`);
      }
      if (steps[0] && this.#seconds >= steps[0].atSeconds) await this.#play(steps.shift()!);
      yield this.#state(await this.#admin.status());
    }
  }

  get #seconds(): number {
    return (performance.now() - this.#startedMs) / 1000;
  }

  async #play(step: DemoStep): Promise<void> {
    const before = await this.#admin.table(POOL);
    await this.#admin.setBackendState(POOL, step.backend, step.state);
    const after = await this.#admin.table(POOL);
    this.#events.push(`${this.#seconds.toFixed(0)}s: ${describeChange(step, before.entries, after.entries)}`);
  }

  #state(status: MachineStatus): DemoState {
    const now = performance.now();
    const last = this.#last;
    this.#last = { status, atMs: now };
    const seconds = last ? (now - last.atMs) / 1000 : 1;
    const packets = packetsOf(status.reasons);
    const before = last ? packetsOf(last.status.reasons).forwarded : 0;
    return {
      mode: "lab",
      seconds: this.#seconds,
      requests: { ...this.#requests },
      packets: { ...packets, perSecond: (packets.forwarded - before) / seconds },
      backends: status.pools[0]!.backends.map(({ name, state }) => ({
        name,
        state,
        ...(this.#answered.get(name) ?? { requests: 0, perSecond: 0 }),
      })),
      reasons: status.reasons,
      workers: status.workers.map((worker, i) => ({
        packets: worker.packets,
        nsPerPacket: worker.nsPerPacket,
        load: (busyOf(worker) - busyOf(last?.status.workers[i])) / (seconds * 1e9),
      })),
      connections: this.#connections,
      events: this.#events,
    };
  }

  /** Ends the client, reads the last numbers, ends the rest, removes the lab. */
  async stop(): Promise<DemoState | undefined> {
    let state: DemoState | undefined;
    try {
      const summary = await this.#client?.stop();
      // When the balancer is gone there is nothing newer than what was seen last.
      const status = summary && (await this.#admin.status().catch(() => this.#last?.status));
      if (summary && status) state = this.#final(summary, status);
    } finally {
      await this.#admin.close().catch(() => undefined);
      await this.#stopBalancer();
      await Promise.all(this.#servers.map((server) => server.stop()));
      await this.#lab.down();
      rmSync(this.#folder, { recursive: true, force: true });
    }
    return state;
  }

  /** The summary covers what came after the last interval report too. */
  #final(summary: LoadReport, status: MachineStatus): DemoState {
    const state = this.#state(status);
    state.requests.total = summary.ok + summary.failed;
    state.requests.failed = summary.failed;
    for (const backend of state.backends) backend.requests = summary.backends[backend.name] ?? 0;
    return state;
  }

  async #stopBalancer(): Promise<void> {
    const child = this.#balancer;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await gone;
    clearTimeout(timer);
  }
}

/** Nanoseconds that a worker was busy, the kernel's part included. */
function busyOf(worker: MachineStatus["workers"][number] | undefined): number {
  return worker ? worker.busyNs + worker.kernelNs : 0;
}
