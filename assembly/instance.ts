// What one instance (one worker) knows: the arena's addresses, read once, and its own clock.
// These globals are per instance; everything shared lies in the arena.

import {
  HEADER_BACKENDS,
  HEADER_BATCH,
  HEADER_CONNTRACK,
  HEADER_COUNTERS,
  HEADER_COUNTERS_BYTES,
  HEADER_FRAGMENTS,
  HEADER_FRAME_BYTES,
  HEADER_FRAMES,
  HEADER_FREE_LIST_BYTES,
  HEADER_FREE_LISTS,
  HEADER_ICMP_ERRORS,
  HEADER_INTERFACES,
  HEADER_JOURNAL_RECORDS,
  HEADER_JOURNALS,
  HEADER_MAGIC,
  HEADER_NEW_FLOWS,
  HEADER_OWNERS,
  HEADER_PROBES,
  HEADER_QUEUE_COUNT,
  HEADER_QUEUES,
  HEADER_RATES,
  HEADER_SECRET,
  HEADER_SEED,
  HEADER_SHARD_LINES,
  HEADER_SHARD_OWNERS,
  HEADER_SHARD_RECORDS,
  HEADER_VERSION,
  HEADER_VIP_REASONS,
  HEADER_WORKERS,
  JOURNAL_RECORDS,
  LAYOUT_VERSION,
  LINE,
  MAGIC,
  PACKET_BYTES,
  PORT_BYTES,
  QUEUE_BYTES,
  SHARD_BYTES,
  SHARDS,
  WORKER_BATCH,
  WORKER_BYTES,
  WORKER_PORT_COUNT,
  WORKER_PORTS,
} from "./layout";
import { Packet, Port, Queue } from "./records";

/** Number of this worker. */
export let self: u32 = 0;
/** Its control block. */
export let block: usize = 0;
export let portCount: u32 = 0;
export let queueCount: u32 = 0;
/** Packets that one pass takes at most. */
export let batch: u32 = 0;
export let counters: usize = 0;
/** The part of the counters that counts reasons by VIP. */
export let vipReasons: usize = 0;
export let freeList: usize = 0;
/** 0 when no journal is kept. */
export let journal: usize = 0;
export let journalRecords: u32 = 0;

export let interfaces: usize = 0;
export let backends: usize = 0;
export let probes: usize = 0;
export let queues: usize = 0;
export let conntrack: usize = 0;
export let shardLines: u32 = 0;
let shardRecords: usize = 0;
/** The map of the shards' owners that this instance goes by, and its version: none at first. */
let owners: usize = 0;
export let ownersVersion: u32 = 0;
export const NO_VERSION: u32 = 0xffffffff;
/** Buckets of source prefixes. */
export let rates: usize = 0;
/** New flows a second that the connection table takes; 0 for any number. */
export let newFlows: u32 = 0;
export let fragments: usize = 0;
/** ICMP errors a second, in all shards together; 0 for none. */
export let icmpErrors: u32 = 0;
export let frames: usize = 0;
export let frameBytes: u32 = 0;

export let secret0: u64 = 0;
export let secret1: u64 = 0;
export let secret2: u64 = 0;
export let seed: u64 = 0;

/**
 * Binds this instance to a worker's block of the arena.
 * @returns the layout version it was compiled for, or 0 when the memory holds no arena of that version
 */
export function attach(worker: u32): u32 {
  if (load<u32>(HEADER_MAGIC) != MAGIC || load<u32>(HEADER_VERSION) != LAYOUT_VERSION) return 0;
  self = worker;
  block = load<u32>(HEADER_WORKERS) + worker * WORKER_BYTES;
  portCount = load<u32>(block, WORKER_PORT_COUNT);
  queueCount = load<u32>(HEADER_QUEUE_COUNT);
  batch = load<u32>(HEADER_BATCH);
  counters = load<u32>(HEADER_COUNTERS) + worker * load<u32>(HEADER_COUNTERS_BYTES);
  vipReasons = counters + load<u32>(HEADER_VIP_REASONS);
  freeList = load<u32>(HEADER_FREE_LISTS) + worker * load<u32>(HEADER_FREE_LIST_BYTES);
  journalRecords = load<u32>(HEADER_JOURNAL_RECORDS);
  const journals = load<u32>(HEADER_JOURNALS);
  journal = journals == 0 ? 0 : journals + worker * (JOURNAL_RECORDS + journalRecords * PACKET_BYTES);
  interfaces = load<u32>(HEADER_INTERFACES);
  backends = load<u32>(HEADER_BACKENDS);
  probes = load<u32>(HEADER_PROBES);
  queues = load<u32>(HEADER_QUEUES);
  conntrack = load<u32>(HEADER_CONNTRACK);
  shardLines = load<u32>(HEADER_SHARD_LINES);
  rates = load<u32>(HEADER_RATES);
  shardRecords = load<u32>(HEADER_SHARD_RECORDS);
  newFlows = load<u32>(HEADER_NEW_FLOWS);
  fragments = load<u32>(HEADER_FRAGMENTS);
  icmpErrors = load<u32>(HEADER_ICMP_ERRORS);
  frames = load<u32>(HEADER_FRAMES);
  frameBytes = load<u32>(HEADER_FRAME_BYTES);
  secret0 = load<u64>(HEADER_SECRET);
  secret1 = load<u64>(HEADER_SECRET + 8);
  secret2 = load<u64>(HEADER_SECRET + 16);
  seed = load<u64>(HEADER_SEED);
  adoptOwners(atomic.load<u32>(HEADER_OWNERS));
  ownersVersion = NO_VERSION;
  return LAYOUT_VERSION;
}

/** Goes by the owners of a version from here on. */
export function adoptOwners(version: u32): void {
  owners = HEADER_SHARD_OWNERS + (version & 1) * SHARDS;
  ownersVersion = version;
}

/** The worker that owns a shard. */
export function ownerOfShard(shard: u32): u32 {
  return load<u8>(owners + shard);
}

/** Packet record i of the batch in hand. */
export function packetAt(i: u32): Packet {
  return changetype<Packet>(block + WORKER_BATCH + i * PACKET_BYTES);
}

export function portAt(i: u32): Port {
  return changetype<Port>(block + WORKER_PORTS + i * PORT_BYTES);
}

export function queueAt(i: u32): Queue {
  return changetype<Queue>(queues + i * QUEUE_BYTES);
}

/** Record of a shard. */
export function shardAt(shard: u32): usize {
  return shardRecords + shard * SHARD_BYTES;
}

/** Address of conntrack line `index` of a shard. */
export function lineAt(shard: u32, index: u32): usize {
  return conntrack + (shard * shardLines + index) * LINE;
}
