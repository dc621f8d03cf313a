// What is known of fragmented datagrams, and fragments that wait (the drawing is in layout.ts, the rules are docs/datapath.md §10).
// Every function here is called by the owner of the shard only.
//
//   state of a held fragment   enters when                            leaves when
//   free                       at first, taken                        a fragment is held
//   waiting                    held at commit: its ports are unknown  the first fragment comes; its time is over
//   ready                      either of these; on the worker's list  gather takes it
//
// A frame of a held fragment is nowhere else. Fragments are held at commit and not before, so that a batch that traps still has
// all of its frames in hand.

import { nowMs } from "./clock";
import { shardOf } from "./hash";
import { block, fragments, frames, ownerOfShard, self } from "./instance";
import {
  DATAGRAM_BYTES,
  DATAGRAM_KNOWN_MS,
  DATAGRAM_PORTS,
  DATAGRAM_SETS,
  DATAGRAM_TAG,
  DATAGRAM_UNTIL,
  DATAGRAM_WAYS,
  FRAGMENT_DATAGRAMS,
  FRAGMENT_HELD,
  FRAGMENT_HELD_MS,
  FRAGMENT_WAITING,
  HEADER_HELD,
  HEADER_HELD_LIMIT,
  HELD_ADDRESS,
  HELD_BYTES,
  HELD_FRAGMENTS,
  HELD_LENGTH,
  HELD_PORT,
  HELD_PORTS,
  HELD_STATE,
  HELD_STATE_FREE,
  HELD_STATE_READY,
  HELD_STATE_WAITING,
  HELD_TAG,
  HELD_UNTIL,
  PAGE,
  SHARDS,
  WORKER_READY,
  WORKER_READY_LAST,
} from "./layout";
import { Packet } from "./records";

/** Fragments of this worker that wait, and the earliest time when one of them has waited in vain. */
let waiting: u32 = 0;
let earliest: u64 = 0;

function pageOf(shard: u32): usize {
  return fragments + shard * PAGE;
}

/** The way of a tag in its set: that of the datagram if it is known, else 0. */
function find(set: usize, tag: u64): usize {
  for (let at = set; at < set + DATAGRAM_WAYS * DATAGRAM_BYTES; at += DATAGRAM_BYTES) {
    if (load<u64>(at, DATAGRAM_TAG) == tag && load<u64>(at, DATAGRAM_UNTIL) > nowMs) return at;
  }
  return 0;
}

/** The way that a new datagram takes: the one that is, or has been, forgotten first. */
function place(set: usize): usize {
  let best = set;
  for (let at = set; at < set + DATAGRAM_WAYS * DATAGRAM_BYTES; at += DATAGRAM_BYTES) {
    if (load<u64>(at, DATAGRAM_UNTIL) < load<u64>(best, DATAGRAM_UNTIL)) best = at;
  }
  return best;
}

function setOf(page: usize, tag: u64): usize {
  return (
    page + FRAGMENT_DATAGRAMS + ((<u32>tag >>> 1) & (DATAGRAM_SETS - 1)) * (DATAGRAM_WAYS * DATAGRAM_BYTES)
  );
}

/** Ports of a datagram's flow; 0 when they are not known. @param key the address key */
export function portsOf(key: u64, tag: u64): u32 {
  const at = find(setOf(pageOf(shardOf(key)), tag), tag);
  return at == 0 ? 0 : load<u32>(at, DATAGRAM_PORTS);
}

/** Notes the ports of a datagram, and lets its fragments that wait go on. */
export function learn(key: u64, tag: u64, ports: u32): void {
  const page = pageOf(shardOf(key));
  const set = setOf(page, tag);
  let at = find(set, tag);
  if (at == 0) at = place(set);
  store<u64>(at, tag, DATAGRAM_TAG);
  store<u64>(at, nowMs + DATAGRAM_KNOWN_MS, DATAGRAM_UNTIL);
  store<u32>(at, ports, DATAGRAM_PORTS);
  if (load<u32>(page, FRAGMENT_WAITING) == 0) return;
  const end = page + FRAGMENT_HELD + HELD_FRAGMENTS * HELD_BYTES;
  for (let held = page + FRAGMENT_HELD; held < end; held += HELD_BYTES) {
    if (load<u8>(held, HELD_STATE) == HELD_STATE_WAITING && load<u64>(held, HELD_TAG) == tag) {
      makeReady(page, held, ports);
    }
  }
}

/** Puts a fragment that waits on the worker's list. @param ports 0 when it waited in vain */
function makeReady(page: usize, held: usize, ports: u32): void {
  enlist(held, ports);
  store<u32>(page, load<u32>(page, FRAGMENT_WAITING) - 1, FRAGMENT_WAITING);
  waiting--;
  atomic.sub<u32>(HEADER_HELD, 1);
}

function enlist(held: usize, ports: u32): void {
  store<u32>(held, ports, HELD_PORTS);
  store<u8>(held, <u8>HELD_STATE_READY, HELD_STATE);
  store<u32>(held, 0, HELD_UNTIL);
  const last: usize = load<u32>(block, WORKER_READY_LAST);
  if (last == 0) store<u32>(block, <u32>held, WORKER_READY);
  else store<u32>(last, <u32>held, HELD_UNTIL);
  store<u32>(block, <u32>held, WORKER_READY_LAST);
}

/**
 * Holds a fragment whose ports are not known. When an earlier packet of its batch has brought them meanwhile, it goes on with the
 * next.
 * @returns whether there was room
 */
export function hold(packet: Packet): bool {
  const page = pageOf(shardOf(packet.key));
  let held = page + FRAGMENT_HELD;
  const end = held + HELD_FRAGMENTS * HELD_BYTES;
  while (held < end && load<u8>(held, HELD_STATE) != HELD_STATE_FREE) held += HELD_BYTES;
  if (held == end) return false;
  const ports = portsOf(packet.key, packet.tag);
  if (ports == 0 && atomic.add<u32>(HEADER_HELD, 1) >= load<u32>(HEADER_HELD_LIMIT)) {
    atomic.sub<u32>(HEADER_HELD, 1);
    return false;
  }
  store<u64>(held, packet.tag, HELD_TAG);
  store<u32>(held, packet.start - <u32>frames, HELD_ADDRESS);
  store<u32>(held, packet.length, HELD_LENGTH);
  store<u8>(held, packet.port, HELD_PORT);
  if (ports != 0) {
    enlist(held, ports);
    return true;
  }
  const until = nowMs + FRAGMENT_HELD_MS;
  store<u64>(held, until, HELD_UNTIL);
  store<u8>(held, <u8>HELD_STATE_WAITING, HELD_STATE);
  store<u32>(page, load<u32>(page, FRAGMENT_WAITING) + 1, FRAGMENT_WAITING);
  if (waiting == 0) earliest = until;
  waiting++;
  return true;
}

/** Called when other shards are this worker's: what waits in them is found again. */
export function recountHeld(): void {
  waiting = 0;
  earliest = 0;
  for (let shard: u32 = 0; shard < SHARDS; shard++) {
    if (ownerOfShard(shard) == self) waiting += load<u32>(pageOf(shard), FRAGMENT_WAITING);
  }
}

/** Called after the clock advanced: ends the wait of fragments whose time is over. */
export function expireHeld(): void {
  if (waiting == 0 || nowMs < earliest) return;
  earliest = u64.MAX_VALUE;
  for (let shard: u32 = 0; shard < SHARDS; shard++) {
    if (ownerOfShard(shard) != self) continue;
    const page = pageOf(shard);
    if (load<u32>(page, FRAGMENT_WAITING) != 0) expireOf(page);
  }
}

function expireOf(page: usize): void {
  const end = page + FRAGMENT_HELD + HELD_FRAGMENTS * HELD_BYTES;
  for (let held = page + FRAGMENT_HELD; held < end; held += HELD_BYTES) {
    if (load<u8>(held, HELD_STATE) != HELD_STATE_WAITING) continue;
    const until = load<u64>(held, HELD_UNTIL);
    if (until <= nowMs) makeReady(page, held, 0);
    else if (until < earliest) earliest = until;
  }
}

/** The first fragment on the worker's list, or 0. */
export function firstReady(): usize {
  return load<u32>(block, WORKER_READY);
}

/** Takes a fragment off the list. Its frame is the caller's. @returns the next one, or 0 */
export function takeReady(held: usize): usize {
  const next: usize = load<u32>(held, HELD_UNTIL);
  store<u8>(held, <u8>HELD_STATE_FREE, HELD_STATE);
  store<u32>(block, <u32>next, WORKER_READY);
  if (next == 0) store<u32>(block, 0, WORKER_READY_LAST);
  return next;
}
