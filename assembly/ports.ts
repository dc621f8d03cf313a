// Packets in and out: gathering a batch from the ports' RX rings, and showing what it became in TX rings,
// hand-off rings, the free list and the places of fragments that wait.
//
//   gather   RX, ready fragments ─▶ batch    the frames are in hand from here on
//   emit     batch ─▶ TX, free list; not shown yet
//   commit   everything shown at once        nothing in here can trap
//   abandon  after a trap in between: nothing of the batch was shown, its frames go to the free list

import { add, countBackend, countOutcome, countVip } from "./counters";
import { extraAt, extraCount, resetExtras, settleFree } from "./extras";
import { firstReady, hold, takeReady } from "./fragment-table";
import { freeCount, releaseLocks, setFreeCount, writeFree } from "./frames";
import { shardOf } from "./hash";
import { kick } from "./host";
import { batch, block, frameBytes, frames, journal, packetAt, portAt, portCount } from "./instance";
import { record } from "./journal";
import {
  BATCH,
  COUNTER_EXTRAS,
  COUNTER_HANDED,
  COUNTER_KICKS,
  COUNTER_REASONS,
  COUNTER_RECEIVED,
  COUNTER_RECEIVED_BYTES,
  COUNTER_TRAPS,
  HANDOFF_ENTRIES,
  HEADER_SHARD_OWNERS,
  HELD_ADDRESS,
  HELD_LENGTH,
  HELD_PORT,
  HELD_PORTS,
  MAX_INTERFACES,
  MEMORY_RING_PRODUCER,
  NO_PORT,
  NO_SOCKET,
  PACKET_BYTES,
  PACKET_KIND_FRAGMENT,
  PACKET_KIND_RETURN,
  RING_NEED_WAKEUP,
  WORKER_EGRESS,
  WORKER_HANDOFF,
  WORKER_IN_HAND,
  WORKER_WAKE,
} from "./layout";
import {
  REASON_ECHO,
  REASON_FRAGMENT_LIMIT,
  REASON_FRAGMENT_TIMEOUT,
  REASON_HANDED,
  REASON_HANDOFF_FULL,
  REASON_HELD,
  REASON_HIT,
  REASON_NEW,
  REASON_NOT_IP,
  REASON_PROBE,
  REASON_TRAPPED,
  REASON_TX_FULL,
} from "./reasons";
import { Packet, Port } from "./records";
import {
  available,
  consumerIndex,
  occupied,
  packetSlot,
  producerIndex,
  publish,
  pushBlock,
  release,
} from "./ring";

let nextPort: u32 = 0;
/** Whether some of the batch in hand came by ports for probes. */
export let probing: u32 = 0;
/** Frames freed by the batch in hand; they join the free list at commit. */
let freed: u32 = 0;

/** Prepares the ports of this worker. */
export function openPorts(): void {
  for (let i: u32 = 0; i < portCount; i++) resetPending(portAt(i));
}

function resetPending(port: Port): void {
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
  freed = 0;
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
  return load<u8>(HEADER_SHARD_OWNERS + shardOf(key));
}

/** Descriptors that still fit into the port's TX ring. */
function roomIn(port: Port): u32 {
  if (port.txMask == 0) return 0;
  const room = port.txMask + 1 - (port.txPending - port.txSeen);
  if (room >= BATCH) return room;
  port.txSeen = atomic.load<u32>(port.tx.consumer);
  return port.txMask + 1 - (port.txPending - port.txSeen);
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
  if (packet.reason < REASON_NOT_IP && packet.port == portIndex) packet.reason = <u8>REASON_TX_FULL;
}

function free(packet: Packet): void {
  freeFrame(packet.frame);
}

function freeFrame(frame: u32): void {
  writeFree(freeCount() + freed, frame);
  freed++;
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

/** Ports in the packet, or in its datagram's first fragment, if they are known; 0 of what is no fragment. */
function portsToHand(packet: Packet): u32 {
  if ((packet.kind & PACKET_KIND_FRAGMENT) == 0) return 0;
  return (packet.kind & PACKET_KIND_RETURN) == 0 ? packet.ports : <u32>packet.tag;
}

/** Hands a packet to the owner of its shard, as it came; a fragment together with its ports, if they are known. */
function hand(packet: Packet): bool {
  const owner = ownerOf(packet.key);
  const ring: usize = load<u32>(block + (owner << 2), WORKER_HANDOFF);
  if (ring == 0) return false;
  const index = load<u32>(ring, MEMORY_RING_PRODUCER);
  const address = <u64>(packet.start - <u32>frames) | ((<u64>portAt(packet.port).interface_) << 32);
  if (!pushBlock(ring, HANDOFF_ENTRIES, index, address, packet.length, portsToHand(packet))) return false;
  atomic.store<u32>(ring + MEMORY_RING_PRODUCER, index + 1);
  store<u32>(block, load<u32>(block, WORKER_WAKE) | (1 << owner), WORKER_WAKE);
  add(COUNTER_HANDED, 1);
  return true;
}

/** Hands over and holds what gets no verdict in this batch; where there is no room, it gets one. */
function keepAll(count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    const packet = packetAt(i);
    const kept: u32 = packet.reason;
    if (kept < REASON_HELD || (kept == REASON_HANDED ? hand(packet) : hold(packet))) continue;
    const reason = kept == REASON_HANDED ? REASON_HANDOFF_FULL : REASON_FRAGMENT_LIMIT;
    packet.reason = <u8>reason;
    countOutcome(packet, reason);
    free(packet);
  }
}

/** Shows what became of the batch. @param kept whether some of it gets no verdict yet */
export function commit(count: u32, kept: bool): void {
  if (kept) keepAll(count);
  if (journal != 0) {
    for (let i: u32 = 0; i < count; i++) {
      const packet = packetAt(i);
      if (packet.reason != REASON_HANDED) record(packet);
    }
  }
  for (let i: u32 = 0; i < portCount; i++) {
    const port = portAt(i);
    if (port.txMask == 0 || port.txPending == producerIndex(port.tx)) continue;
    publish(port.tx, port.txPending);
    kickPort(port);
  }
  settleFree(freed);
  freed = 0;
  store<u32>(block, 0, WORKER_IN_HAND);
}

function kickPort(port: Port): void {
  if (port.socket == NO_SOCKET) return;
  if ((atomic.load<u32>(port.tx.flags) & RING_NEED_WAKEUP) == 0) return;
  kick(port.socket);
  add(COUNTER_KICKS, 1);
}

/** Reminds the kernel of packets that an earlier kick left behind. @returns whether there are any */
export function kickAgain(): bool {
  let waiting = false;
  for (let i: u32 = 0; i < portCount; i++) {
    const port = portAt(i);
    if (port.txMask == 0 || port.socket == NO_SOCKET || occupied(port.tx) == 0) continue;
    kickPort(port);
    waiting = waiting || occupied(port.tx) != 0;
  }
  return waiting;
}

/** After a trap: the batch in hand was not shown to anyone and is given up. */
export function abandon(): void {
  for (let i: u32 = 0; i < portCount; i++) resetPending(portAt(i));
  const count = load<u32>(block, WORKER_IN_HAND);
  freed = 0;
  resetExtras();
  for (let i: u32 = 0; i < count; i++) free(packetAt(i));
  setFreeCount(freeCount() + freed);
  freed = 0;
  store<u32>(block, 0, WORKER_IN_HAND);
  releaseLocks();
  add(COUNTER_TRAPS, 1);
  add(COUNTER_REASONS + (REASON_TRAPPED << 3), count);
}
