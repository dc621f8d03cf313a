// Packets in and out: gathering a batch from the ports' RX rings, and writing what it became into TX rings and the free list.
//
//   gather   RX, ready fragments ─▶ batch    the frames are in hand from here on
//   emit     batch ─▶ TX, free list          not shown yet: commit.ts does that

import { add, countBackend, countOutcome, countVip } from "./counters";
import { extraAt, extraCount, resetExtras } from "./extras";
import { firstReady, takeReady } from "./fragment-table";
import { freeFrame, resetFreed } from "./frames";
import { shardOf } from "./hash";
import { batch, block, frameBytes, frames, ownerOfShard, packetAt, portAt, portCount } from "./instance";
import {
  BATCH,
  COUNTER_EXTRAS,
  COUNTER_REASONS,
  COUNTER_RECEIVED,
  COUNTER_RECEIVED_BYTES,
  HELD_ADDRESS,
  HELD_LENGTH,
  HELD_PORT,
  HELD_PORTS,
  MAX_INTERFACES,
  NO_PORT,
  PACKET_BYTES,
  PACKET_KIND_FRAGMENT,
  WORKER_EGRESS,
  WORKER_IN_HAND,
} from "./layout";
import { dropProbe } from "./probe";
import {
  REASON_ECHO,
  REASON_FRAGMENT_TIMEOUT,
  REASON_HELD,
  REASON_HIT,
  REASON_NEW,
  REASON_NOT_IP,
  REASON_PROBE,
  REASON_TX_FULL,
} from "./reasons";
import { Packet, Port } from "./records";
import { available, consumerIndex, packetSlot, producerIndex, release } from "./ring";

let nextPort: u32 = 0;
/** Whether some of the batch in hand came by ports for probes. */
export let probing: u32 = 0;

export function resetPending(port: Port): void {
  if (port.txMask == 0) return;
  port.txPending = producerIndex(port.tx);
  port.txSeen = atomic.load<u32>(port.tx.consumer);
}

/** Takes up to a batch of packets, from each port in turn. @returns how many are in hand */
export function gather(): u32 {
  const held = firstReady();
  let count: u32 = held == 0 ? 0 : takeHeld(held);
  let at = nextPort;
  probing = 0;
  for (let i: u32 = 0; i < portCount && count < batch; i++) {
    count = take(at, count);
    at = at + 1 == portCount ? 0 : at + 1;
  }
  nextPort = at;
  resetFreed();
  resetExtras();
  return count;
}

function take(portIndex: u32, count: u32): u32 {
  const port = portAt(portIndex);
  const rx = port.rx;
  const waiting = available(rx);
  if (waiting == 0) return count;
  probing |= port.kind;
  const room = batch - count;
  const taken = waiting < room ? waiting : room;
  const from = consumerIndex(rx);
  const descriptors = rx.descriptors;
  const mask = rx.mask;
  const base = ~(frameBytes - 1);
  const nothing = i64x2.splat(0);
  let bytes: u64 = 0;
  for (let i: u32 = 0; i < taken; i++) {
    const slot = packetSlot(descriptors, mask, from + i);
    const address = load<u32>(slot);
    const length = load<u32>(slot, 8);
    const packet = packetAt(count + i);
    const at = changetype<usize>(packet);
    v128.store(at + 16, nothing);
    v128.store(at + 32, nothing);
    packet.start = <u32>frames + address;
    packet.length = length;
    packet.key = 0;
    packet.frame = address & base;
    packet.port = <u8>portIndex;
    bytes += length;
  }
  if (port.queue == 0) adopt(port, from, taken, count);
  store<u32>(block, count + taken, WORKER_IN_HAND);
  release(rx, from + taken);
  add(COUNTER_RECEIVED, taken);
  add(COUNTER_RECEIVED_BYTES, bytes);
  return count + taken;
}

/**
 * What a hand-off ring says of its packets besides. In the upper half of the descriptor's address: the interface by which the other
 * worker got one, for answers; in its options: the ports of a fragment. @param count packets in hand before them
 */
function adopt(port: Port, from: u32, taken: u32, count: u32): void {
  const rx = port.rx;
  for (let i: u32 = 0; i < taken; i++) {
    const slot = packetSlot(rx.descriptors, rx.mask, from + i);
    const packet = packetAt(count + i);
    const interface_ = load<u32>(slot, 4);
    const way: u32 = interface_ < MAX_INTERFACES ? load<u8>(block + interface_, WORKER_EGRESS) : NO_PORT;
    if (way != NO_PORT) packet.port = <u8>way;
    const ports = load<u32>(slot, 12);
    if (ports == 0) continue;
    packet.kind = <u8>PACKET_KIND_FRAGMENT;
    packet.ports = ports;
  }
}

/** Takes held fragments whose wait is over, up to a batch. They were received before. @returns how many are in hand */
function takeHeld(held: usize): u32 {
  let count: u32 = 0;
  for (; held != 0 && count < batch; count++) {
    const address = load<u32>(held, HELD_ADDRESS);
    const packet = packetAt(count);
    memory.fill(changetype<usize>(packet), 0, PACKET_BYTES);
    packet.start = <u32>frames + address;
    packet.length = load<u32>(held, HELD_LENGTH);
    packet.frame = address & ~(frameBytes - 1);
    packet.port = load<u8>(held, HELD_PORT);
    packet.kind = <u8>PACKET_KIND_FRAGMENT;
    packet.ports = load<u32>(held, HELD_PORTS);
    packet.tag = REASON_FRAGMENT_TIMEOUT;
    held = takeReady(held);
    store<u32>(block, count + 1, WORKER_IN_HAND);
  }
  return count;
}

/** Whether packets wait in some RX ring, or held fragments to go on. */
export function pending(): bool {
  if (firstReady() != 0) return true;
  for (let i: u32 = 0; i < portCount; i++) if (available(portAt(i).rx) != 0) return true;
  return false;
}

/** Who owns the shard of a flow. */
export function ownerOf(key: u64): u32 {
  return ownerOfShard(shardOf(key));
}

/** Descriptors that still fit into the port's TX ring. */
function roomIn(port: Port): u32 {
  if (port.txMask == 0) return 0;
  const room = port.txMask + 1 - (port.txPending - port.txSeen);
  if (room >= BATCH) return room;
  port.txSeen = atomic.load<u32>(port.tx.consumer);
  return port.txMask + 1 - (port.txPending - port.txSeen);
}

/** Whether a port's TX ring takes so many packets, also if all of the batch leave by it and what is sent besides them so far. */
export function hasRoom(portIndex: u32, extras: u32): bool {
  const port = portAt(portIndex);
  if (port.txMask == 0) return false;
  const room = port.txMask + 1 - (port.txPending - atomic.load<u32>(port.tx.consumer));
  return room >= load<u32>(block, WORKER_IN_HAND) + extraCount + extras;
}

/** Puts the batch into TX rings or onto the free list, and counts it. Works through runs of packets for the same port. */
export function emit(first: usize, end: usize): void {
  for (let at = first; at < end; ) {
    const packet = changetype<Packet>(at);
    const reason: u32 = packet.reason;
    if (reason < REASON_NOT_IP) {
      at = emitRun(at, end, packet.port);
      continue;
    }
    at += PACKET_BYTES;
    if (reason >= REASON_HELD) continue;
    countOutcome(packet, reason);
    free(packet);
  }
}

/** Sends the packets from `at` on that leave by one port. @returns the record after the last of them */
function emitRun(at: usize, end: usize, portIndex: u32): usize {
  const port = portAt(portIndex);
  const descriptors = port.tx.descriptors;
  const mask = port.txMask;
  let index = port.txPending;
  const full = at + roomIn(port) * PACKET_BYTES;
  const last = full < end ? full : end;
  let hits: u64 = 0;
  let vip: u32 = 0;
  let vipPackets: u64 = 0;
  let vipBytes: u64 = 0;
  let opened: u64 = 0;
  for (; at < last; at += PACKET_BYTES) {
    const packet = changetype<Packet>(at);
    const reason: u32 = packet.reason;
    if (reason >= REASON_NOT_IP) break;
    if (packet.port != portIndex) break;
    const slot = packetSlot(descriptors, mask, index++);
    store<u64>(slot, packet.start - <u32>frames);
    store<u64>(slot, packet.length, 8);
    if (reason == REASON_HIT) {
      hits++;
    } else if (reason != REASON_NEW) {
      countOutcome(packet, reason);
      if (!isForwarded(reason)) continue;
    }
    if (packet.vip != vip) {
      countVip(vip, vipPackets, vipBytes, opened);
      opened = 0;
      vip = packet.vip;
      vipPackets = 0;
      vipBytes = 0;
    }
    vipPackets++;
    vipBytes += packet.ipLength;
    const opens = reason == REASON_NEW;
    opened += u64(opens);
    countBackend(packet.backend, packet.ipLength, opens);
  }
  port.txPending = index;
  countVip(vip, vipPackets, vipBytes, opened);
  add(COUNTER_REASONS + (REASON_HIT << 3), hits);
  if (at == full && at < end) refuse(changetype<Packet>(at), portIndex);
  return at;
}

/** Whether a packet that leaves is one of a VIP for a backend: neither an answer nor a probe. */
function isForwarded(reason: u32): bool {
  return reason < REASON_ECHO && reason != REASON_PROBE;
}

/** The first packet behind a full TX ring: if it leaves by that port, it cannot. */
function refuse(packet: Packet, portIndex: u32): void {
  if (packet.reason >= REASON_NOT_IP || packet.port != portIndex) return;
  if (packet.reason == REASON_PROBE) dropProbe(packet, REASON_TX_FULL);
  else packet.reason = <u8>REASON_TX_FULL;
}

export function free(packet: Packet): void {
  freeFrame(packet.frame);
}

/**
 * Sends what the batch has beyond what came, behind the packets that it belongs to; with those that do not leave it does not
 * either. Exported by the module, so that the compiler does not put it into the middle of the pipeline.
 */
export function emitExtras(): void {
  for (let i: u32 = 0; i < extraCount; i++) {
    const extra = extraAt(i);
    const packet = changetype<Packet>(<usize>extra.packet);
    const port = portAt(packet.port);
    if (packet.reason >= REASON_NOT_IP || roomIn(port) == 0) {
      freeFrame(extra.frame);
      continue;
    }
    const slot = packetSlot(port.tx.descriptors, port.txMask, port.txPending++);
    store<u64>(slot, extra.start - <u32>frames);
    store<u64>(slot, extra.length, 8);
    add(COUNTER_EXTRAS, 1);
  }
}
