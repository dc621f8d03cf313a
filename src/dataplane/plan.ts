// Where everything lies in the arena, computed from the configuration and the machine's shape.

import { availableParallelism } from "node:os";
import * as L from "../../assembly/layout.ts";
import { expandReturns } from "../config/returns.ts";
import type { Config } from "../config/schema.ts";
import { expandServices, isWildcard } from "../config/services.ts";
import { GuidewayError } from "../errors.ts";

/** What the configuration leaves to the machine. */
export interface Shape {
  /** (interface, queue) pairs. */
  queues: number;
  /** Most workers that there may be. */
  workers: number;
  /** Those that own shards at first; all by default. */
  running?: number;
  /** Whether the controller sends packets of its own through the workers (src/io/self-test.ts). Default false. */
  selfTest?: boolean;
  /** Frames that each worker keeps for fragments where some VIP may need them; by default as many as a batch can take. */
  reserve?: number;
  /** Packet records that each worker's journal holds; 0 for no journal. A power of two. */
  journalRecords?: number;
}

/** Descriptors of an RX or TX ring: the kernel's customary size. */
export const PACKET_RING_ENTRIES = 2048;
/**
 * Frames per queue when the configuration says auto: two rings' worth. Not more, not rounded up: frames are used in
 * turn, all of them, and as a power of two apart their headers share few sets of a cache.
 */
const FRAMES_PER_QUEUE = 4096;
/** Frames per worker on top: what it has in hand and in hand-off rings. */
const FRAMES_PER_WORKER = 512;
/** Part of all frames that workers keep for fragments, at most. */
const MOST_RESERVED = 0.25;
/** Descriptors of the self-test queue's rings: more than it ever has frames, two for each worker. */
export const SELF_TEST_RING_ENTRIES = 256;
/** Frames in which fragments may wait, and the share of all that they are at most. */
const MOST_HELD = 512;
const HELD_SHARE = 1 / 8;
/** Ids and heap that a running configuration may grow into. */
const MIN_BACKEND_CAPACITY = 1024;
const MIN_POOL_CAPACITY = 64;
const MIN_VIP_CAPACITY = 64;
const HEAP_RESERVE = 1 << 20;
/** Room for the ways to clients, where answers pass through: of as many as are published (routes.ts). */
const ROUTES_RESERVE = 5 << 17;
const ARENA_LIMIT = 2 ** 32;
/** Share of a shard's ways that the configured number of flows takes, so that lines rarely overflow. */
const CONNTRACK_LOAD = 0.5;
/** Lines per shard below which a match would not be exact (assembly/hash.ts). */
const MIN_SHARD_LINES = 256;

export type RegionName =
  | "header"
  | "interfaces"
  | "pools"
  | "backends"
  | "probes"
  | "queues"
  | "workers"
  | "freeLists"
  | "counters"
  | "journals"
  | "rings"
  | "tables"
  | "rates"
  | "shards"
  | "conntrack"
  | "fragments"
  | "frames";

export interface Region {
  offset: number;
  bytes: number;
}

export interface ArenaPlan {
  shape: Required<Shape>;
  /** Bytes in all, a multiple of WebAssembly's page. */
  bytes: number;
  regions: Record<RegionName, Region>;
  frameBytes: number;
  frameCount: number;
  shardLines: number;
  backendCapacity: number;
  poolCapacity: number;
  vipCapacity: number;
  batch: number;
  /** Most frames in which fragments wait, of all workers. */
  heldLimit: number;
  freeListBytes: number;
  countersBytes: number;
  /** Offset of the VIPs' reasons in each worker's counters. */
  vipReasons: number;
  /** Descriptors of FILL and COMPLETION: all frames fit. */
  frameRingEntries: number;
  packetRingEntries: number;
  packetRingBytes: number;
  frameRingBytes: number;
  /** Of each of the self-test queue's rings. */
  selfTestRingBytes: number;
  handoffRingBytes: number;
}

export function powerOfTwo(atLeast: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, atLeast)));
}

export function alignUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}

/** Bytes to reserve for a ring, wherever in its first page the kernel puts the descriptors. */
function ringBytes(entries: number, descriptorBytes: number): number {
  return alignUp(L.PAGE + entries * descriptorBytes, L.PAGE);
}

/** Lines of a conntrack shard for a number of flows (docs/datapath.md §6). */
export function shardLinesFor(flows: number): number {
  return Math.max(MIN_SHARD_LINES, powerOfTwo(flows / (L.WAYS * L.SHARDS * CONNTRACK_LOAD)));
}

/** Workers that a configuration asks for. */
export function workerCount(config: Config): number {
  const { count, cpus } = config.workers;
  if (count !== "auto") return count;
  return Math.min(L.MAX_WORKERS, cpus?.length ?? availableParallelism());
}

/**
 * Most workers that a machine may have without a new start.
 * @param queues of all interfaces: a worker has a port on each, and one for each other worker, and one for self-tests
 */
export function workerCapacity(config: Config, queues: number): number {
  const { max } = config.workers;
  if (max !== "auto") return max;
  const most = Math.min(L.MAX_WORKERS, availableParallelism(), L.MAX_PORTS - queues);
  return Math.max(workerCount(config), most);
}

/** Bytes of a lookup table of a size in the table heap. */
export function tableBytes(size: number): number {
  return alignUp(L.TABLE_SLOTS + size * 2, L.LINE);
}

/** Hash slots for a number of services and other keys: at most half of them taken. */
export function serviceSlots(services: number): number {
  return powerOfTwo(services * 2 + 2);
}

/** Bytes of the services block without wildcards: for so many services and VIPs. */
export function servicesBytes(services: number, vips: number): number {
  return L.SERVICES_SLOTS + serviceSlots(services) * L.SERVICE_BYTES + vips * L.VIP_BYTES;
}

/** Bytes that so many wildcards take at most: each a prefix of its own, whose ports cut another's range in two. */
function mostWildcardBytes(wildcards: number): number {
  const each = L.WILDCARD_BYTES + 2 * L.RANGE_BYTES + 4 * L.PREFIX_BYTES;
  return L.PREFIX_MAP_SLOTS + 4 * L.PREFIX_BYTES + L.LINE + wildcards * each;
}

/** Bytes that a prefix map takes at most. */
function mostMapBytes(prefixes: number): number {
  return L.PREFIX_MAP_SLOTS + 4 * (prefixes + 1) * L.PREFIX_BYTES;
}

/** Bytes that the maps of guards and server ids take at most. */
function policyBytes({ vips, pools }: Config): number {
  return vips.reduce((sum, { guard, quic, pool }) => {
    const guarded = guard ? mostMapBytes((guard.allow?.length ?? 0) + guard.deny.length + 1) : 0;
    const routed = quic.routeBy === "none" ? 0 : mostMapBytes(pools[pool]!.backends.length);
    return sum + guarded + routed;
  }, 0);
}

/** Everything that is published, twice: the new stands beside the old while it is swapped. */
function heapBytes(config: Config): number {
  const services = expandServices(config);
  const returns = expandReturns(config).length;
  const slots = services.length + (returns === 0 ? 0 : 2 * returns + L.MAX_OWN);
  let once = servicesBytes(slots, config.vips.length);
  once += mostWildcardBytes(services.filter(isWildcard).length);
  if (returns > 0) once += ROUTES_RESERVE;
  once += policyBytes(config);
  for (const pool of Object.values(config.pools)) once += tableBytes(pool.tableSize);
  return alignUp(2 * once + HEAP_RESERVE, L.PAGE);
}

/**
 * Plans the arena.
 * @throws GuidewayError ARENA_SIZE above 4 GiB, the reach of a 32-bit address
 */
export function planArena(config: Config, shape: Shape): ArenaPlan {
  const { queues, workers } = shape;
  const frameBytes = config.frames.size;
  const frameCount =
    config.frames.count === "auto"
      ? queues * FRAMES_PER_QUEUE + workers * FRAMES_PER_WORKER
      : config.frames.count;
  const shardLines = shardLinesFor(config.conntrack.flows);
  const backends = Object.values(config.pools).reduce((sum, pool) => sum + pool.backends.length, 0);
  const backendCapacity = Math.min(
    L.MAX_BACKENDS + 1,
    powerOfTwo(Math.max(MIN_BACKEND_CAPACITY, 2 * backends + 1)),
  );
  const poolCapacity = Math.min(
    L.MAX_POOLS,
    powerOfTwo(Math.max(MIN_POOL_CAPACITY, 2 * Object.keys(config.pools).length)),
  );
  const vipCapacity = Math.min(L.MAX_VIPS, powerOfTwo(Math.max(MIN_VIP_CAPACITY, 2 * config.vips.length)));
  const vipReasons = L.COUNTER_BACKENDS + backendCapacity * L.COUNTER_BACKEND_BYTES;
  const { journalRecords = 0, selfTest = false, running = workers } = shape;
  const reserve = Math.min(
    shape.reserve ?? L.MAX_EXTRAS,
    Math.floor((frameCount * MOST_RESERVED) / Math.max(1, workers)),
  );
  const frameRingEntries = powerOfTwo(frameCount);
  // One block more than workers: the controller's own, for steering and self-tests.
  const blocks = workers + 1;
  const plan = {
    shape: { queues, workers, running, reserve, journalRecords, selfTest },
    frameBytes,
    frameCount,
    shardLines,
    backendCapacity,
    poolCapacity,
    vipCapacity,
    batch: config.workers.batch,
    heldLimit: Math.min(MOST_HELD, Math.floor(frameCount * HELD_SHARE)),
    // While a batch is in hand, frames that it gives back stand behind those that it has taken.
    freeListBytes: alignUp((frameCount + L.MAX_EXTRAS) * 4, L.LINE),
    countersBytes: alignUp(vipReasons + vipCapacity * L.COUNTER_VIP_REASONS_BYTES, L.PAGE),
    vipReasons,
    frameRingEntries,
    packetRingEntries: PACKET_RING_ENTRIES,
    packetRingBytes: ringBytes(PACKET_RING_ENTRIES, L.PACKET_DESCRIPTOR_BYTES),
    frameRingBytes: ringBytes(frameRingEntries, L.FRAME_DESCRIPTOR_BYTES),
    selfTestRingBytes: ringBytes(SELF_TEST_RING_ENTRIES, L.PACKET_DESCRIPTOR_BYTES),
    handoffRingBytes: ringBytes(L.HANDOFF_ENTRIES, L.PACKET_DESCRIPTOR_BYTES),
  };
  const sizes: Record<RegionName, number> = {
    header: L.PAGE,
    interfaces: L.MAX_INTERFACES * L.INTERFACE_BYTES,
    pools: poolCapacity * L.POOL_BYTES,
    backends: backendCapacity * L.BACKEND_BYTES,
    probes: L.PROBES * L.PROBE_BYTES,
    queues: L.MAX_QUEUES * L.QUEUE_BYTES,
    workers: blocks * L.WORKER_BYTES,
    freeLists: blocks * plan.freeListBytes,
    counters: blocks * plan.countersBytes,
    journals: journalRecords === 0 ? 0 : blocks * (L.JOURNAL_RECORDS + journalRecords * L.PACKET_BYTES),
    rings:
      queues * (2 * plan.frameRingBytes + 2 * workers * plan.packetRingBytes) +
      workers * workers * plan.handoffRingBytes +
      (selfTest ? (2 + 2 * workers) * plan.selfTestRingBytes : 0),
    tables: heapBytes(config),
    rates: L.RATE_LINES * L.LINE,
    // Directly before the table: what outlives the process is one piece (persistence/).
    shards: L.SHARDS * L.SHARD_BYTES,
    conntrack: L.SHARDS * shardLines * L.LINE,
    fragments: L.SHARDS * L.PAGE,
    frames: frameCount * frameBytes,
  };
  const regions = {} as Record<RegionName, Region>;
  let offset = L.HEADER;
  for (const [name, bytes] of Object.entries(sizes) as [RegionName, number][]) {
    regions[name] = { offset, bytes };
    offset = alignUp(offset + bytes, L.PAGE);
  }
  const bytes = alignUp(offset, 65536);
  if (bytes > ARENA_LIMIT) {
    const largest = Object.entries(sizes).sort((a, b) => b[1] - a[1])[0]!;
    throw new GuidewayError(
      "ARENA_SIZE",
      `the arena would take ${(bytes / 2 ** 30).toFixed(1)} GiB, more than the 4 GiB that WebAssembly can address; ` +
        `the largest part is ${largest[0]} with ${(largest[1] / 2 ** 30).toFixed(1)} GiB: ` +
        "lower conntrack.flows, frames.count or tableSize",
      { exitCode: 2 },
    );
  }
  return { ...plan, bytes, regions };
}
