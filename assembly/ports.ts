// Packets in and out: gathering a batch from the ports' RX rings, and showing what it became in TX rings,
// hand-off rings and the free list.
//
//   gather   RX ─▶ batch                     the frames are in hand from here on
//   send     batch ─▶ TX, not shown yet
//   commit   everything shown at once        nothing in here can trap
//   abandon  after a trap in between: nothing of the batch was shown, its frames go to the free list

import { add, countReason } from "./counters";
import { freeCount, setFreeCount, writeFree } from "./frames";
import { kick } from "./host";
import { batch, block, frameBytes, frames, journal, packetAt, portAt, portCount, self } from "./instance";
import { record } from "./journal";
import {
  COUNTER_HANDED, COUNTER_KICKS, COUNTER_RECEIVED, COUNTER_RECEIVED_BYTES, COUNTER_REASONS, COUNTER_TRAPS,
  HANDOFF_ENTRIES, HEADER_SHARD_OWNERS, MEMORY_RING_PRODUCER, PACKET_BYTES, REASON_HANDED, REASON_HANDOFF_FULL,
  REASON_TRAPPED, RING_NEED_WAKEUP, WORKER_HANDOFF, WORKER_IN_HAND, WORKER_WAKE,
} from "./layout";
import { Packet, Port } from "./records";
import { consumerIndex, available, occupied, packetSlot, producerIndex, publish, pushBlock, release } from "./ring";
import { shardOf } from "./hash";

const NO_SOCKET: u32 = 0xffffffff;

let nextPort: u32 = 0;
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
  let count: u32 = 0;
  let at = nextPort;
  for (let i: u32 = 0; i < portCount && count < batch; i++) {
    count = take(at, count);
    at = at + 1 == portCount ? 0 : at + 1;
  }
  nextPort = at;
  freed = 0;
  return count;
}

function take(portIndex: u32, count: u32): u32 {
  const rx = portAt(portIndex).rx;
  const waiting = available(rx);
  if (waiting == 0) return count;
  const room = batch - count;
  const taken = waiting < room ? waiting : room;
  const from = consumerIndex(rx);
  const descriptors = rx.descriptors;
  const mask = rx.mask;
  const base = ~(frameBytes - 1);
  let bytes: u64 = 0;
  for (let i: u32 = 0; i < taken; i++) {
    const slot = packetSlot(descriptors, mask, from + i);
    const address = load<u32>(slot);
    const packet = packetAt(count + i);
    const at = changetype<usize>(packet);
    const nothing = i64x2.splat(0);
    v128.store(at, nothing);
    v128.store(at + 16, nothing);
    v128.store(at + 32, nothing);
    packet.start = <u32>frames + address;
    packet.length = load<u32>(slot, 8);
    packet.frame = address & base;
    packet.port = <u8>portIndex;
    bytes += packet.length;
  }
  store<u32>(block, count + taken, WORKER_IN_HAND);
  release(rx, from + taken);
  add(COUNTER_RECEIVED, taken);
  add(COUNTER_RECEIVED_BYTES, bytes);
  return count + taken;
}

/** Whether packets wait in some RX ring. */
export function pending(): bool {
  for (let i: u32 = 0; i < portCount; i++) if (available(portAt(i).rx) != 0) return true;
  return false;
}

/** Who owns the shard of a flow. */
export function ownerOf(key: u64): u32 {
  return load<u8>(HEADER_SHARD_OWNERS + shardOf(key));
}

/** Puts a packet into its port's TX ring. @returns false when there is no room */
export function send(packet: Packet): bool {
  const port = portAt(packet.port);
  const index = port.txPending;
  if (index - port.txSeen > port.txMask) {
    if (port.txMask == 0) return false;
    port.txSeen = atomic.load<u32>(port.tx.consumer);
    if (index - port.txSeen > port.txMask) return false;
  }
  const slot = packetSlot(port.tx.descriptors, port.txMask, index);
  store<u64>(slot, packet.start - <u32>frames);
  store<u64>(slot, packet.length, 8);
  port.txPending = index + 1;
  return true;
}

export function free(packet: Packet): void {
  writeFree(freeCount() + freed, packet.frame);
  freed++;
}

/** Hands a packet to the owner of its shard, as it came. */
function hand(packet: Packet): bool {
  const owner = ownerOf(packet.key);
  const ring: usize = load<u32>(block + (owner << 2), WORKER_HANDOFF);
  if (ring == 0) return false;
  const index = load<u32>(ring, MEMORY_RING_PRODUCER);
  if (!pushBlock(ring, HANDOFF_ENTRIES, index, packet.start - <u32>frames, packet.length)) return false;
  atomic.store<u32>(ring + MEMORY_RING_PRODUCER, index + 1);
  store<u32>(block, load<u32>(block, WORKER_WAKE) | (1 << owner), WORKER_WAKE);
  add(COUNTER_HANDED, 1);
  return true;
}

function handAll(count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    const packet = packetAt(i);
    if (packet.reason != REASON_HANDED || hand(packet)) continue;
    packet.reason = <u8>REASON_HANDOFF_FULL;
    countReason(REASON_HANDOFF_FULL);
    free(packet);
  }
}

/** Shows what became of the batch. @param handed whether some of it goes to other workers */
export function commit(count: u32, handed: bool): void {
  if (handed) handAll(count);
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
  setFreeCount(freeCount() + freed);
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
  for (let i: u32 = 0; i < count; i++) free(packetAt(i));
  setFreeCount(freeCount() + freed);
  freed = 0;
  store<u32>(block, 0, WORKER_IN_HAND);
  add(COUNTER_TRAPS, 1);
  add(COUNTER_REASONS + (REASON_TRAPPED << 3), count);
}
