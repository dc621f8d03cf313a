// One machine: the engine on real interfaces, and what keeps it true to its configuration.
//
//   new     a file under the connection table, where there is to be one → probe link, where checks go through tunnels → open sockets
//   start   offer frames → connections of the process before → workers → neighbours → attach → self-tests
//   stop    self-tests end → detach → workers drain and end → sockets close → probe link and neighbours are let go
//
//   apply   new backends' neighbours → tables and services are swapped in → XDP lets go of old services, takes new ones
//
// Packets reach the workers only while everything they need is there; before and after, they go to the host.

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { MAX_OWN } from "../../assembly/layout.ts";
import type { Config } from "../config/schema.ts";
import { auditFrames, type FrameAudit } from "../dataplane/audit.ts";
import type { BackendState } from "../dataplane/backend-records.ts";
import type { Applied, DirectoryBackend } from "../dataplane/directory.ts";
import { Engine } from "../dataplane/engine.ts";
import { KeptFlows } from "../dataplane/persistence/kept-flows.ts";
import { workerCapacity, workerCount } from "../dataplane/plan.ts";
import { type Mishap, WorkerPool } from "../dataplane/pool.ts";
import type { Way } from "../dataplane/routes.ts";
import { ownSlot } from "../dataplane/steering.ts";
import { GuidewayError } from "../errors.ts";
import { MemoryQueue } from "../io/memory-queue.ts";
import { findInterfaces, XdpPorts } from "../io/xdp.ts";
import type { Logger } from "../log.ts";
import { loadNative } from "../native.ts";
import { ClientRoutes } from "./client-routes.ts";
import { ForwarderHealth } from "./forwarder/forwarder-health.ts";
import { lookAtLinks } from "./forwarder/links.ts";
import { KernelMonitor } from "./kernel-monitor.ts";
import { Mishaps } from "./mishaps.ts";
import { Neighbours } from "./neighbours.ts";
import { countReason, placementHints } from "./placement.ts";
import { ProbeLink } from "./probe-link.ts";
import { ProbePorts } from "./probe-ports.ts";
import { type Health, healthOf, type Readiness, readinessOf } from "./readiness.ts";
import { type MachineStatus, statusOf, summaryOf, type TableStatus, tableOf } from "./status.ts";

/** How long packets wait at start for the first neighbours. */
const RESOLVE_MS = 2000;
const RESOLVE_STEP_MS = 20;
const SECRET_BYTES = 32;
/** Until the kernel steers by other owners for sure: some rounds of its packet processing. */
const STEERED_MS = 20;

export class Machine {
  #config: Config;
  readonly startedAt = new Date();
  readonly engine: Engine;
  readonly ports: XdpPorts;
  readonly neighbours: Neighbours;
  /** Where answers of backends go that pass through. */
  readonly clients: ClientRoutes;
  /** Whether this machine forwards. */
  readonly forwarder: ForwarderHealth;
  /** Ways to the backends through the data plane; present when the first configuration had checks `via: tunnel`. */
  readonly probes: ProbePorts | undefined;
  /** Connections in a file; absent without `conntrack.persist`. */
  readonly kept: KeptFlows | undefined;
  readonly #link: ProbeLink | undefined;
  readonly #log: Logger;
  readonly #monitor: KernelMonitor;
  readonly #mishaps: Mishaps;
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
    const { persist } = config.conntrack;
    this.kept = persist === undefined ? undefined : new KeptFlows(persist, config, log);
    const secret = this.kept?.secret ?? randomBytes(SECRET_BYTES);
    const words = [0, 8, 16, 24].map((at) => secret.readBigUInt64LE(at));
    const probes = Object.values(config.pools).some(({ health }) => health?.via === "tunnel");
    const queues = facts.reduce((sum, each) => sum + each.queues, probes ? 1 : 0);
    this.#config = config;
    this.#log = log;
    this.#monitor = new KernelMonitor(log);
    this.#mishaps = new Mishaps(config.change.state, log);
    const workers = workerCapacity(config, queues);
    const running = Math.min(workerCount(config), workers);
    this.engine = new Engine(config, { queues, workers, running, selfTest: true }, words, this.kept);
    this.kept?.map(this.engine);
    this.#prepareMemory();
    this.#link = probes ? ProbeLink.create(config, Math.min(...facts.map(({ mtu }) => mtu)), log) : undefined;
    this.probes = probes ? new ProbePorts(this.engine) : undefined;
    try {
      this.ports = new XdpPorts(this.engine, facts, secret, this.#link?.facts);
    } catch (error) {
      this.#link?.remove();
      throw error;
    }
    this.neighbours = new Neighbours({
      interfaces: config.interfaces,
      onLink: (pool) => this.#config.vips.some((vip) => vip.forward === "l2" && vip.pool === pool),
      setNextHop: (id, hop) => this.engine.directory.setNextHop(id, hop),
      monitor: this.#monitor,
      log,
    });
    this.clients = new ClientRoutes({
      interfaces: config.interfaces,
      fixed: this.#waysToChecks(),
      setWays: (ways) => this.engine.routes.set(ways),
      setOwn: (addresses) => this.#setOwn(addresses),
      monitor: this.#monitor,
      log,
    });
    this.forwarder = this.#forwarderHealth();
  }

  /** Answers to checks that went through the data plane go back by the same link, to the host. */
  #waysToChecks(): Way[] {
    const { address, address6 } = this.#config.machine;
    const hop = this.ports.wayToHost;
    if (!hop) return [];
    return [address, address6].flatMap((prefix) => (prefix === undefined ? [] : { prefix, hop }));
  }

  /** What backends send to these addresses is the host's. */
  #setOwn(addresses: readonly string[]): void {
    const { machine, forwarder } = this.#config;
    const checked = (address: string) => this.probes && [machine.address, machine.address6].includes(address);
    const slots = addresses
      .slice(0, MAX_OWN)
      .map((address) => ownSlot(address, checked(address) ? forwarder.probe : { firstPort: 0, ports: 0 }));
    const { removed, added } = this.engine.directory.setOwn(slots).slots;
    this.ports.removeSlots(removed);
    this.ports.addSlots(added);
  }

  get #translates(): boolean {
    return this.#config.vips.some(({ forward }) => forward === "nat");
  }

  #forwarderHealth(): ForwarderHealth {
    const { engine, ports, config } = this;
    const links = { interfaces: ports.interfaces, isAttached: (name: string) => ports.isAttached(name) };
    return new ForwarderHealth({
      engine,
      queue: new MemoryQueue(engine, "self-test"),
      wake: (worker) => this.#pool?.wake(worker),
      settings: config.forwarder,
      log: this.#log,
      links: () => lookAtLinks(links),
      watchLinks: (changed) => this.#monitor.on("link", changed),
      losses: {
        kernel: () =>
          ports.interfaces.map(({ name }, index) => ({ name, statistics: ports.statistics(index) })),
        received: () =>
          engine.statistics.workers().reduce((sum, { packets, handed }) => sum + packets - handed, 0),
      },
    });
  }

  /** Huge pages, and none of the arena in child processes. Both are only advice. */
  #prepareMemory(): void {
    const native = loadNative();
    const { u8, plan } = this.engine.arena;
    const { conntrack, frames } = plan.regions;
    const advise = (what: string, call: () => void) => {
      try {
        call();
      } catch (error) {
        this.#log.debug({ reason: (error as Error).message }, `no ${what}`);
      }
    };
    // All of it: records and counters of thousands of VIPs and backends are on more small pages than a processor remembers.
    advise("huge pages", () => native.adviseHugePages(u8, 0, plan.bytes));
    advise("memory kept out of child processes", () => native.dontFork(u8, 0, plan.bytes));
    // The first packets should not wait for pages.
    u8.fill(0, conntrack.offset, conntrack.offset + conntrack.bytes);
    u8.fill(0, frames.offset, frames.offset + frames.bytes);
  }

  /** The configuration in force. */
  get config(): Config {
    return this.#config;
  }

  /** Whether packets of VIPs reach the workers. */
  get attached(): boolean {
    return this.ports.interfaces.every(({ program }) => program !== undefined);
  }

  async start(): Promise<void> {
    this.engine.offerFrames();
    this.kept?.inherit();
    const { cpus, busyPoll } = this.config.workers;
    const onMishap = (mishap: Mishap) => this.#mishaps.note(mishap);
    this.#pool = new WorkerPool(this.engine, {
      sockets: this.ports.sockets,
      busyPoll,
      onMishap,
      ...(cpus && { cpus }),
    });
    this.#monitor.start();
    this.neighbours.start();
    await this.clients.follow(this.#translates);
    await Promise.race([this.#resolve(this.engine.directory.backends), this.#pool.failure()]);
    this.ports.attach();
    for (const { name, queues, sockets, program } of this.ports.interfaces) {
      this.#log.info({ interface: name, queues, workers: this.workers, sockets, program }, "attached");
    }
    this.#log.info({ workers: this.workers, why: countReason(this.config) }, "workers forward");
    for (const hint of placementHints(this.config, this.workers)) this.#log.warn(hint);
    this.forwarder.start();
  }

  /** Finds the neighbours of all backends, and waits a little for those of the given ones that do not answer at once. */
  async #resolve(backends: readonly DirectoryBackend[]): Promise<void> {
    await this.neighbours.follow(this.engine.directory.backends.filter(Boolean));
    const resolved = () => this.neighbours.resolved(backends.filter(Boolean)) && this.clients.resolved;
    for (let waited = 0; waited < RESOLVE_MS && !resolved(); ) {
      await sleep(RESOLVE_STEP_MS);
      waited += RESOLVE_STEP_MS;
    }
  }

  /**
   * Puts another configuration in force, without a lost packet on what stays: pools, backends and VIPs. What it says of
   * anything else is the caller's business. Calls must not overlap.
   * @param stateOf of the backends that are new
   * @throws GuidewayError CAPACITY or TABLE_HEAP, and the configuration before stays; PROBE_LINK, and `config` is this one
   */
  async apply(config: Config, stateOf: (pool: string, backend: string) => BackendState): Promise<Applied> {
    const { directory, publication } = this.engine;
    const before = this.#config;
    const workers = workerCount(config);
    this.#checkWorkers(workers);
    this.#config = config;
    let admitted: DirectoryBackend[] = [];
    let applied: Applied;
    try {
      admitted = directory.admit(config, stateOf);
      if (admitted.length > 0) await this.#resolve(admitted);
      applied = directory.apply(config);
    } catch (error) {
      this.#config = before;
      directory.dismiss(admitted);
      await this.neighbours.follow(directory.backends.filter(Boolean));
      throw error;
    }
    await this.clients.follow(this.#translates);
    this.ports.removeServices(applied.services.removed);
    this.ports.removeSlots(applied.slots.removed);
    await publication.settled();
    this.ports.addServices(applied.services.added);
    this.ports.addSlots(applied.slots.added);
    await this.neighbours.follow(directory.backends.filter(Boolean));
    this.#link?.setVips(config.vips.map(({ address }) => address));
    for (const { id } of applied.removed) this.probes?.release(id);
    directory.reclaim();
    // What was set by hand stays until the configuration says something else.
    if (workers !== workerCount(before)) await this.resize(workers);
    return { ...applied, added: admitted };
  }

  /** Workers that forward. */
  get workers(): number {
    return this.engine.owners.running;
  }

  /** Threads of workers that have died and were replaced. */
  get restarts(): number {
    return this.#pool?.restarts ?? 0;
  }

  /**
   * Lets more workers or fewer forward, without a lost packet. Calls must not overlap, nor with apply().
   * @throws GuidewayError CAPACITY above what the machine was started for; WORKER when one does not start
   */
  async resize(workers: number): Promise<void> {
    this.#checkWorkers(workers);
    const before = this.workers;
    if (workers === before) return;
    this.forwarder.expect(workers);
    await this.#pool!.resize(workers, async () => {
      this.ports.steer();
      // What the kernel was about to put into the sockets of those that leave.
      await sleep(STEERED_MS);
    });
    this.#log.info({ workers, before }, "shards are dealt out anew");
  }

  #checkWorkers(workers: number): void {
    const { workers: capacity } = this.engine;
    if (workers >= 1 && workers <= capacity) return;
    throw new GuidewayError(
      "CAPACITY",
      `${workers} workers cannot be had: this machine was started for 1 to ${capacity}; workers.max in the configuration, ` +
        "and a restart, make room for more",
    );
  }

  /** Rejects when a worker fails, which is a defect. */
  failure(): Promise<never> {
    return this.#pool!.failure();
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

  /** The status in one line. */
  summary(): string {
    return summaryOf(this);
  }

  /** Whether the workers' loops turn. Before they start, nothing is wrong with them. To be asked every now and then. */
  health(): Health {
    return healthOf(this.forwarder.stuck());
  }

  /** Whether every worker's loop turns. To be asked every now and then. */
  alive(): boolean {
    return this.health().healthy;
  }

  /** Whether packets for VIPs are forwarded. */
  readiness(): Readiness {
    return readinessOf(this.engine, this.ports.interfaces, this.health());
  }

  auditFrames(): FrameAudit {
    return auditFrames(this.engine);
  }

  async stop(): Promise<void> {
    this.#monitor.stop();
    this.forwarder.stop();
    this.ports.detach();
    try {
      const reports = (await this.#pool?.stop()) ?? [];
      for (const { worker, drained, traps, trap } of reports) {
        if (!drained) this.#log.warn({ worker }, "worker stopped with packets on their way");
        if (traps > 0) this.#log.error({ worker, traps, trap }, "worker trapped: this is a defect");
      }
      this.kept?.seal();
    } finally {
      this.ports.close();
      this.kept?.close();
      this.#link?.remove();
      await this.clients.stop();
      await this.neighbours.stop();
    }
  }
}
