// One machine: the engine on real interfaces, and what keeps it true to its configuration.
//
//   start   open sockets → offer frames → workers → neighbours → attach
//   stop    detach → workers drain and end → sockets close → neighbours are let go
//
// Packets reach the workers only while everything they need is there; before and after, they go to the host.

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config/schema.ts";
import { auditFrames, type FrameAudit } from "../dataplane/audit.ts";
import type { BackendState } from "../dataplane/backend-records.ts";
import { Engine } from "../dataplane/engine.ts";
import { workerCount } from "../dataplane/plan.ts";
import { WorkerPool } from "../dataplane/pool.ts";
import { GuidewayError } from "../errors.ts";
import { findInterfaces, XdpPorts } from "../io/xdp.ts";
import type { Logger } from "../log.ts";
import { loadNative } from "../native.ts";
import { Neighbours } from "./neighbours.ts";
import { type MachineStatus, statusOf, type TableStatus, tableOf } from "./status.ts";

/** How long packets wait at start for the first neighbours. */
const RESOLVE_MS = 2000;
const RESOLVE_STEP_MS = 20;
const SECRET_BYTES = 32;

export class Machine {
  readonly config: Config;
  readonly startedAt = new Date();
  readonly engine: Engine;
  readonly ports: XdpPorts;
  readonly neighbours: Neighbours;
  readonly #log: Logger;
  #pool: WorkerPool | undefined;

  /**
   * Opens everything; nothing flows yet.
   * @throws GuidewayError for interfaces that are not there; the addon's errors for what the kernel refuses
   */
  constructor(config: Config, log: Logger) {
    if (config.interfaces.length === 0) {
      throw new GuidewayError(
        "INTERFACE",
        "interfaces: none is configured, expected at least one network interface to receive on, e.g. interfaces: [eth0]",
        { exitCode: 2 },
      );
    }
    const facts = findInterfaces(config.interfaces);
    const secret = randomBytes(SECRET_BYTES);
    const words = [0, 8, 16, 24].map((at) => secret.readBigUInt64LE(at));
    const queues = facts.reduce((sum, each) => sum + each.queues, 0);
    this.config = config;
    this.#log = log;
    this.engine = new Engine(config, { queues, workers: workerCount(config) }, words);
    this.#prepareMemory();
    this.ports = new XdpPorts(this.engine, facts, secret);
    const onLink = new Set(config.vips.filter((vip) => vip.forward === "l2").map((vip) => vip.pool));
    this.neighbours = new Neighbours({
      interfaces: config.interfaces,
      onLink,
      setNextHop: (id, hop) => this.engine.directory.setNextHop(id, hop),
      log,
    });
  }

  /** Huge pages for the big regions, and none of the arena in child processes. Both are only advice. */
  #prepareMemory(): void {
    const native = loadNative();
    const { u8, plan } = this.engine.arena;
    const { conntrack, frames, tables } = plan.regions;
    const advise = (what: string, call: () => void) => {
      try {
        call();
      } catch (error) {
        this.#log.debug({ reason: (error as Error).message }, `no ${what}`);
      }
    };
    for (const { offset, bytes } of [tables, conntrack, frames]) {
      advise("huge pages", () => native.adviseHugePages(u8, offset, bytes));
    }
    advise("memory kept out of child processes", () => native.dontFork(u8, 0, plan.bytes));
    // The first packets should not wait for pages.
    u8.fill(0, conntrack.offset, conntrack.offset + conntrack.bytes);
    u8.fill(0, frames.offset, frames.offset + frames.bytes);
  }

  async start(): Promise<void> {
    this.engine.offerFrames();
    const { cpus } = this.config.workers;
    this.#pool = new WorkerPool(this.engine, { sockets: this.ports.sockets, ...(cpus && { cpus }) });
    await Promise.race([this.#resolve(), this.#pool.failure()]);
    this.ports.attach();
    for (const { name, queues, sockets, program } of this.ports.interfaces) {
      this.#log.info({ interface: name, queues, workers: this.engine.workers, sockets, program }, "attached");
    }
  }

  /** Finds the neighbours, and waits a little for those that do not answer at once. */
  async #resolve(): Promise<void> {
    await this.neighbours.start(this.engine.directory.backends.filter(Boolean));
    for (let waited = 0; waited < RESOLVE_MS && !this.neighbours.resolved; waited += RESOLVE_STEP_MS) {
      await sleep(RESOLVE_STEP_MS);
    }
  }

  /** Rejects when a worker fails, which is a defect. */
  failure(): Promise<never> {
    return this.#pool!.failure();
  }

  /** Changes whether a backend gets packets. @throws GuidewayError UNKNOWN when there is no such pool or backend */
  setBackendState(pool: string, name: string, state: BackendState): void {
    const { directory } = this.engine;
    directory.setBackendState(directory.backend(pool, name).id, state);
    this.#log.info({ pool, backend: name, state }, "backend state");
  }

  /** @throws GuidewayError UNKNOWN when there is no such pool */
  table(pool: string): TableStatus {
    if (!this.engine.directory.poolNames.includes(pool)) {
      throw new GuidewayError("UNKNOWN", `there is no pool ${JSON.stringify(pool)}`);
    }
    return tableOf(this, pool);
  }

  status(): MachineStatus {
    return statusOf(this);
  }

  auditFrames(): FrameAudit {
    return auditFrames(this.engine);
  }

  async stop(): Promise<void> {
    this.ports.detach();
    try {
      const reports = (await this.#pool?.stop()) ?? [];
      for (const { worker, drained, traps, trap } of reports) {
        if (!drained) this.#log.warn({ worker }, "worker stopped with packets on their way");
        if (traps > 0) this.#log.error({ worker, traps, trap }, "worker trapped: this is a defect");
      }
    } finally {
      this.ports.close();
      await this.neighbours.stop();
    }
  }
}
