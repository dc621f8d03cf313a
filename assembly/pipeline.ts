// The pipeline: a batch of packets in phases, so that cache misses of different packets overlap instead of
// queueing up behind each other. Each phase is a loop of its own over the batch. Where packets are spread over many VIPs, more
// is touched in front of phases 1, 2 and 6 (touch.ts).
//
//   1 touch every header; parse,           4 look the misses up in their tables
//     find the service, hash; ask VIPs     5 find again, insert
//     that have guards or server ids
//   2 touch every conntrack line           6 rewrite, then send or free (ports.ts)
//   3 match; list the misses

import { mayEnter } from "./admission";
import { commit } from "./commit";
import { followEntry, insert, isExpired, isLive, matchAway, matchHome, neighbour } from "./conntrack";
import { extraCount } from "./extras";
import { replyEcho } from "./forward/echo";
import { forwardRun } from "./forward/forward";
import { deliverIcmpError } from "./icmp-error";
import { block, newFlows, self } from "./instance";
import {
  PACKET_BYTES,
  PACKET_KIND_RETURN,
  PACKET_LINE,
  PACKET_START,
  TRACK_HIT,
  TRACK_HIT_AWAY,
  VIP_FLAG_GUARD,
  VIP_FLAG_QUIC,
  WORKER_BATCH,
  WORKER_MISSES,
} from "./layout";
import { parse } from "./parse";
import { askVips } from "./policies";
import { emit, emitExtras, ownerOf, probing } from "./ports";
import { classifyProbes } from "./probe";
import {
  REASON_ECHO,
  REASON_HANDED,
  REASON_HELD,
  REASON_HIT,
  REASON_NEW,
  REASON_NO_BACKEND,
  REASON_NONE,
  REASON_TABLE,
} from "./reasons";
import { Packet } from "./records";
import { followReturn, takeReturning } from "./returns";
import { flagsOfAll, isSpread } from "./services";
import { refuseSource } from "./sources";
import { choose } from "./tables";
import { touchOutcomes, touchServices, touchVips } from "./touch";

/** What was read in order to have it in the cache: exported, so that the compiler keeps the reads. */
export let touched: u64 = 0;

/** Runs the batch in hand to its end. */
export function process(count: u32): void {
  const first = block + WORKER_BATCH;
  const end = first + count * PACKET_BYTES;
  touchAll(first, end, PACKET_START);
  if (isSpread) touchServices(first, end);
  const kept = classify(first, end);
  if (probing != 0) classifyProbes(first, end);
  if ((flagsOfAll & (VIP_FLAG_GUARD | VIP_FLAG_QUIC)) != 0) askVips(first, end);
  if (isSpread) touchVips(first, end);
  touchAll(first, end, PACKET_LINE);
  if (takeReturning()) {
    // Returns change entries without being hits or misses: everything in order.
    enter(first, end);
  } else {
    const missed = match(first, end);
    if (missed != 0) {
      consult(missed);
      enter(firstMiss(), end);
    }
  }
  if (isSpread) touchOutcomes(first, end);
  rewrite(first, end);
  emit(first, end);
  if (extraCount != 0) emitExtras();
  commit(count, kept);
}

// Each phase takes the records from `first` up to `end`: addresses.

/**
 * Reads where a field of every record points to, in a loop so small that the cache misses overlap. Packets without a
 * conntrack line read the arena's first, unused one.
 */
function touchAll(first: usize, end: usize, field: usize): void {
  let sum = touched;
  for (let at = first; at < end; at += PACKET_BYTES) sum ^= load<u64>(load<u32>(at + field));
  touched = sum;
}

/** Phase 1. @returns whether some packets get no verdict in this batch: they belong to other workers, or wait */
export function classify(first: usize, end: usize): bool {
  let kept = false;
  for (let at = first; at < end; at += PACKET_BYTES) {
    const packet = changetype<Packet>(at);
    let reason = inline.always(parse(packet));
    if (reason == REASON_NONE) {
      if (ownerOf(packet.key) == self) continue;
      reason = REASON_HANDED;
    }
    if (reason >= REASON_HELD) kept = true;
    packet.reason = <u8>reason;
  }
  return kept;
}

/** Follows an entry if there is one and it is live. @param track where it was found */
function follow(packet: Packet, entry: usize, track: u32): bool {
  if (entry == 0) return false;
  const flags: u32 = packet.tcpFlags;
  const backend = inline.always(followEntry(entry, flags));
  if (backend == 0) return false;
  packet.backend = <u16>backend;
  packet.reason = <u8>REASON_HIT;
  packet.track = <u8>track;
  return true;
}

/**
 * Phase 3: follows the hits up to the first miss, and lists what is not found from there on. A hit behind a miss is left to
 * phase 5, because what the miss inserts may evict it. Packets without a line (ICMP errors) match nothing in the arena's first,
 * unused one, and so are left to phase 5, too.
 * @returns the number of misses
 */
function match(first: usize, end: usize): u32 {
  let at = first;
  for (; at < end; at += PACKET_BYTES) {
    const packet = changetype<Packet>(at);
    if (packet.reason != REASON_NONE) continue;
    const entry = matchHome(packet.line, packet.key);
    if (!inline.always(follow(packet, entry, TRACK_HIT))) break;
  }
  let misses: u32 = 0;
  for (; at < end; at += PACKET_BYTES) {
    const packet = changetype<Packet>(at);
    if (packet.reason != REASON_NONE) continue;
    if (misses != 0) {
      const entry = matchHome(packet.line, packet.key);
      if (entry != 0 && isLive(entry, packet.tcpFlags)) continue;
    }
    store<u32>(block + (misses << 2), <u32>at, WORKER_MISSES);
    misses++;
  }
  return misses;
}

function missAt(i: u32): Packet {
  return changetype<Packet>(<usize>load<u32>(block + (i << 2), WORKER_MISSES));
}

function firstMiss(): usize {
  return load<u32>(block, WORKER_MISSES);
}

/** Phase 4. The neighbouring lines are touched on the way: phase 5 will look there. */
function consult(misses: u32): void {
  let sum = touched;
  for (let i: u32 = 0; i < misses; i++) {
    const packet = missAt(i);
    if (packet.line == 0) continue;
    sum ^= load<u64>(neighbour(packet.line));
    choose(packet);
  }
  touched = sum;
}

/**
 * Of the matching entries of a flow, none of them live, the one that is not expired. Expired ones count as empty, so that
 * it does not matter whether the sweep has been there.
 */
function orphanOf(home: usize, away: usize): usize {
  if (home != 0 && !isExpired(home)) return home;
  return away != 0 && !isExpired(away) ? away : 0;
}

/**
 * Phase 5: from the first miss on, in order. An earlier packet of the batch may have entered the flow meanwhile, or
 * evicted it, or its entry be next door.
 */
function enter(first: usize, end: usize): void {
  for (let at = first; at < end; at += PACKET_BYTES) {
    const packet = changetype<Packet>(at);
    if (packet.reason != REASON_NONE) continue;
    if ((packet.kind & PACKET_KIND_RETURN) != 0) {
      followReturn(packet);
      continue;
    }
    const line: usize = packet.line;
    if (line == 0) {
      deliverIcmpError(packet);
      continue;
    }
    const home = matchHome(line, packet.key);
    if (follow(packet, home, TRACK_HIT)) continue;
    const away = matchAway(line, packet.key);
    if (follow(packet, away, TRACK_HIT_AWAY)) continue;
    if (refuseSource(packet)) continue;
    if (packet.hash == 0) choose(packet);
    const backend: u32 = packet.backend;
    if (backend == 0) {
      packet.reason = <u8>REASON_NO_BACKEND;
      continue;
    }
    const orphan = orphanOf(home, away);
    if (orphan == 0 && newFlows != 0 && !mayEnter(packet.key)) {
      packet.reason = <u8>REASON_TABLE;
      continue;
    }
    packet.track = <u8>insert(line, packet.key, orphan, backend, packet.protocol, packet.tcpFlags);
    packet.reason = <u8>REASON_NEW;
  }
}

/** Phase 6: what leaves gets its final form. */
function rewrite(first: usize, end: usize): void {
  for (let at = first; at < end; ) {
    const packet = changetype<Packet>(at);
    const reason: u32 = packet.reason;
    if (reason < REASON_ECHO) {
      at = forwardRun(at, end);
      continue;
    }
    if (reason == REASON_ECHO) replyEcho(packet);
    at += PACKET_BYTES;
  }
}
