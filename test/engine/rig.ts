// The engine with everything in the test's hands: its own queues in memory, packets to any worker, right or wrong, and
// workers that run when they are told to (`run`), or by themselves as threads (`start`).
//
// It plays the kernel's part: a frame that the test has taken from a FILL ring and not delivered yet is in none of the
// places that the audit knows. `audit` says where all others are.

import { stringify } from "yaml";
import * as L from "../../assembly/layout.ts";
import { parseConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";
import { auditFrames, type FrameAudit } from "../../src/dataplane/audit.ts";
import {
  type DataplaneExports,
  type Host,
  instantiate,
  loadModule,
  noSockets,
} from "../../src/dataplane/binary.ts";
import { Engine } from "../../src/dataplane/engine.ts";
import { JournalReader, type PacketRecord } from "../../src/dataplane/journal.ts";
import type { KeptFlows } from "../../src/dataplane/persistence/kept-flows.ts";
import { PACKET_RING_ENTRIES } from "../../src/dataplane/plan.ts";
import { type PoolOptions, WorkerPool } from "../../src/dataplane/pool.ts";
import { Statistics } from "../../src/dataplane/statistics.ts";
import { MemoryQueue } from "../../src/io/memory-queue.ts";
import { leadToClients, offlineMac } from "../../src/io/offline.ts";
import { macBytes } from "../../src/mac.ts";
import { OFFLINE_SECRET } from "../model/setup.ts";

/** More than any test lets a worker take in one call. */
const ALL_PASSES = 1 << 16;

export interface RigOptions {
  workers?: number;
  /** Those that own shards at first; all by default. */
  running?: number;
  /** Interfaces in memory, with one queue each; their MAC addresses are 02:bb:00:00:00:01, …02, … */
  interfaces?: number;
  mtu?: number;
  /** Frames that each worker keeps for fragments, by default none: then all are in FILL rings when nothing is on its way. */
  reserve?: number;
  /** Adds a queue for self-tests behind those of the interfaces. */
  selfTest?: boolean;
  /** Puts the connection table into a file. What is inherited is there before the first packet. */
  keep?: (config: Config) => KeptFlows;
}

export interface Sent {
  worker: number;
  interface: number;
  frame: number;
  /** Where in its frame the packet begins. */
  offset: number;
  bytes: Uint8Array;
}

export class Rig {
  readonly engine: Engine;
  readonly queues: MemoryQueue[];
  readonly selfTest: MemoryQueue | undefined;
  readonly statistics: Statistics;
  readonly kept: KeptFlows | undefined;
  /** Instances that run in this thread; none once `start` was called. */
  #instances: DataplaneExports[] = [];
  #pool: WorkerPool | undefined;
  readonly #journals: JournalReader[];
  clockMs = 1;

  /** Backends leave by interface 0 until `directory.setNextHop` says otherwise. */
  constructor(
    config: object,
    {
      workers = 1,
      running = workers,
      interfaces = 1,
      mtu = 1500,
      reserve = 0,
      selfTest = false,
      keep,
    }: RigOptions = {},
  ) {
    const { config: parsed } = parseConfig(stringify(config), "rig.yaml");
    const shape = {
      queues: interfaces,
      workers,
      running,
      journalRecords: PACKET_RING_ENTRIES,
      reserve,
      selfTest,
    };
    this.kept = keep?.(parsed);
    const secret = [0, 8, 16, 24].map((at) => this.kept?.secret.readBigUInt64LE(at));
    this.engine = new Engine(parsed, shape, this.kept ? (secret as bigint[]) : OFFLINE_SECRET, this.kept);
    this.kept?.map(this.engine);
    this.statistics = new Statistics(this.engine.arena);
    this.queues = Array.from({ length: interfaces }, (_, index) => {
      const mac = macBytes(`02:bb:00:00:00:0${index + 1}`);
      this.engine.directory.setInterface(index, { mac, mtu });
      return new MemoryQueue(this.engine, index);
    });
    this.selfTest = selfTest ? new MemoryQueue(this.engine, "self-test") : undefined;
    for (const { id, config } of this.engine.directory.backends.filter(Boolean)) {
      this.engine.directory.setNextHop(id, { mac: offlineMac(config.address), interface: 0 });
    }
    leadToClients(this.engine);
    this.kept?.inherit();
    this.engine.offerFrames();
    this.#journals = Array.from(
      { length: workers },
      (_, worker) => new JournalReader(this.engine.arena, worker),
    );
  }

  get workers(): number {
    return this.engine.workers;
  }

  /** Runs the workers as threads from now on. */
  start(options?: PoolOptions): WorkerPool {
    this.#pool = new WorkerPool(this.engine, options);
    return this.#pool;
  }

  instance(worker: number): DataplaneExports {
    const instance =
      this.#instances[worker] ??
      instantiate(loadModule("#dataplane.wasm"), this.engine.arena.memory, noSockets);
    if (!this.#instances[worker]) instance.attach(worker);
    this.#instances[worker] = instance;
    return instance;
  }

  /** Another thread of a worker's, after the one before has died: what that one knew by itself is lost. */
  succeed(worker: number, host: Host = noSockets): DataplaneExports {
    const instance = instantiate(loadModule("#dataplane.wasm"), this.engine.arena.memory, host);
    instance.attach(worker);
    this.#instances[worker] = instance;
    return instance;
  }

  /** The worker that owns the packet's flow; 0 when it belongs to none. */
  owner(bytes: Uint8Array): number {
    const steered = this.steer(bytes);
    return steered === 0 ? 0 : this.engine.owners.map[steered & (L.SHARDS - 1)]!;
  }

  /** Whether the packet may go on to another worker than the one that it is steered to. */
  isApart(bytes: Uint8Array): boolean {
    return (this.steer(bytes) & L.STEERED_APART) !== 0;
  }

  /** What assembly/steer.ts says of a packet. */
  steer(bytes: Uint8Array): number {
    const { arena, exports } = this.engine;
    // The first line of the arena's last frame will do: frames of the test's own are never there.
    const scratch = arena.plan.regions.frames.offset;
    const saved = arena.read(scratch, bytes.length);
    arena.u8.set(bytes, scratch);
    const steered = exports.steer(scratch, bytes.length);
    arena.u8.set(saved, scratch);
    return steered;
  }

  /** Takes a frame, writes the packet into it and shows it to a worker. @returns the frame, undefined when there is none */
  deliver(worker: number, bytes: Uint8Array, queue = 0): number | undefined {
    const from = this.queues[queue]!;
    if (from.room(worker) === 0) return undefined;
    const frame = from.takeFrame();
    if (frame === undefined) return undefined;
    this.engine.arena.u8.set(bytes, from.address(frame));
    from.deliver(worker, frame, bytes.length);
    this.#pool?.wake(worker);
    return frame;
  }

  /** Lets a worker of this thread work until its rings are empty. @returns packets taken */
  run(worker: number, passes = ALL_PASSES): number {
    return this.instance(worker).run(this.clockMs, passes);
  }

  /** All workers of this thread in turn, until none has anything to do. */
  runAll(): void {
    let taken = 1;
    while (taken > 0) {
      taken = 0;
      for (let worker = 0; worker < this.workers; worker++) taken += this.run(worker);
    }
  }

  /** Takes what the workers have sent, and gives the frames back. */
  collect(only?: number): Sent[] {
    const { arena } = this.engine;
    const sent: Sent[] = [];
    for (const [index, queue] of this.queues.entries()) {
      for (let worker = 0; worker < this.workers; worker++) {
        if (only !== undefined && worker !== only) continue;
        queue.collect(worker, ({ frame, start, length }) => {
          const offset = start - arena.plan.regions.frames.offset - frame;
          sent.push({ worker, interface: index, frame, offset, bytes: arena.read(start, length) });
        });
      }
    }
    return sent;
  }

  /** What was decided since the last call, by worker. */
  records(): PacketRecord[] {
    return this.#journals.flatMap((journal) => [...journal.read()]);
  }

  /** Lets every worker of this thread return its frames. */
  settle(): boolean {
    return Array.from({ length: this.workers }, (_, worker) => this.instance(worker).settle() !== 0).every(
      Boolean,
    );
  }

  audit(): FrameAudit {
    return auditFrames(this.engine);
  }

  counter(worker: number, counter: number): number {
    const { plan, u64 } = this.engine.arena;
    return Number(u64[(plan.regions.counters.offset + worker * plan.countersBytes + counter) / 8]);
  }
}

/** Pools near, behind tunnels and behind nat, every mode in both families, every protocol, a guard, QUIC, prefixes: what a packet can meet. */
export function anyConfig(more: Record<string, object> = {}): object {
  const backends = [1, 2, 3, 4].map((n) => ({
    name: `b${n}`,
    address: `10.0.0.2${n}`,
    quicServerId: `0a0${n}`,
  }));
  const far = backends.slice(2).map(({ name, address }) => ({ name, address }));
  const backends6 = [5, 6].map((n) => ({ name: `b${n}`, address: `fd00::2${n}` }));
  const guard = { allow: ["0.0.0.0/0", "::/0"], deny: ["198.51.100.0/24", "2001:db8::2"] };
  const quic = { routeBy: "server-id" };
  return {
    machine: { address: "10.0.0.11", address6: "fd00::11" },
    conntrack: { flows: 1000 },
    pools: {
      near: { tableSize: 251, backends },
      far: { tableSize: 251, backends: [...far, ...backends6] },
      inner: {
        tableSize: 251,
        backends: [
          { name: "n1", address: "10.0.0.31" },
          { name: "n2", address: "10.0.0.32", port: 8080 },
        ],
      },
      inner6: {
        tableSize: 251,
        backends: [
          { name: "n3", address: "fd00::31" },
          { name: "n4", address: "fd00::32", port: 8080 },
        ],
      },
    },
    vips: [
      { name: "web", address: "10.99.0.1", protocol: "any", port: [80, 443], pool: "near" },
      { name: "web6", address: "fd99::1", protocol: "any", port: [80, 443], pool: "near" },
      { name: "tunnel", address: "10.99.0.2", protocol: "any", port: 80, pool: "far", forward: "gre" },
      { name: "tunnel6", address: "fd99::2", protocol: "any", port: 80, pool: "far", forward: "gre" },
      {
        ...{ name: "nat", address: "10.99.0.8", protocol: "any", port: 80 },
        ...{ pool: "inner", forward: "nat", guard },
      },
      { name: "nat6", address: "fd99::8", protocol: "any", port: 80, pool: "inner6", forward: "nat" },
      { name: "ipip", address: "10.99.0.6", protocol: "any", port: 80, pool: "far", forward: "ipip" },
      { name: "ipip6", address: "fd99::6", protocol: "any", port: 80, pool: "far", forward: "ipip" },
      { name: "gue", address: "10.99.0.7", protocol: "any", port: 80, pool: "far", forward: "gue" },
      {
        name: "gue6",
        address: "fd99::7",
        protocol: "any",
        port: 80,
        pool: "far",
        forward: "gue",
        tunnel: { sourcePrefix: ["172.16.0.0/16", "fd16::/64"], ttl: 9 },
      },
      { name: "silent", address: "10.99.0.3", port: 80, pool: "near", echo: false },
      { name: "guarded", address: "10.99.0.4", protocol: "any", port: 443, pool: "near", guard, quic },
      { name: "guarded6", address: "fd99::4", protocol: "any", port: 443, pool: "near", guard, quic },
      {
        name: "net",
        address: "10.99.0.0/24",
        protocol: "any",
        port: "8000-8099",
        pool: "far",
        forward: "gre",
      },
      { name: "net6", address: "fd99::/64", protocol: "any", port: 0, pool: "near" },
    ],
    ...more,
  };
}
