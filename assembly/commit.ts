// The end of a batch: what became of it is shown in TX rings, hand-off rings, the free list and the places of fragments that wait.
//
//   commit      everything is shown; nothing in here can trap
//   endBegun    after a trap, or in the place of a thread that has died: gives up what was in hand, or ends a commit
//
// A thread dies between two passes of a loop, at the start of a function or in a call of the host's, and nowhere else: V8 looks there
// whether it should. So stores in a row belong together, and a packet that is held is marked in the next one.

import { add, countOutcome } from "./counters";
import { extraCount, resetExtras, settleFree } from "./extras";
import { hold } from "./fragment-table";
import { freeCount, freed, releaseLocks, resetFreed, setFreeCount } from "./frames";
import { kick } from "./host";
import { block, frames, journal, packetAt, portAt, portCount } from "./instance";
import { record } from "./journal";
import {
  COUNTER_HANDED,
  COUNTER_KICKS,
  COUNTER_REASONS,
  HANDOFF_ENTRIES,
  MAX_WORKERS,
  MEMORY_RING_PRODUCER,
  NO_SOCKET,
  PACKET_KIND_FRAGMENT,
  PACKET_KIND_RETURN,
  RING_NEED_WAKEUP,
  WORKER_HANDED,
  WORKER_HANDOFF,
  WORKER_IN_HAND,
  WORKER_SHOWING,
  WORKER_WAKE,
} from "./layout";
import { free, ownerOf, resetPending } from "./ports";
import {
  REASON_FRAGMENT_LIMIT,
  REASON_HANDED,
  REASON_HANDOFF_FULL,
  REASON_HELD,
  REASON_TRAPPED,
} from "./reasons";
import { Packet, Port } from "./records";
import { occupied, producerIndex, publish, pushBlock } from "./ring";

/** Ports in the packet, or in its datagram's first fragment, if they are known; 0 of what is no fragment. */
function portsToHand(packet: Packet): u32 {
  if ((packet.kind & PACKET_KIND_FRAGMENT) == 0) return 0;
  return (packet.kind & PACKET_KIND_RETURN) == 0 ? packet.ports : <u32>packet.tag;
}

/** Hands a packet to the owner of its shard, as it came; a fragment together with its ports, if they are known. Not shown yet. */
function hand(packet: Packet): bool {
  const owner = ownerOf(packet.key);
  const ring: usize = load<u32>(block + (owner << 2), WORKER_HANDOFF);
  if (ring == 0) return false;
  const handed = block + (owner << 2);
  const index = load<u32>(handed, WORKER_HANDED);
  const address = <u64>(packet.start - <u32>frames) | ((<u64>portAt(packet.port).interface_) << 32);
  if (!pushBlock(ring, HANDOFF_ENTRIES, index, address, packet.length, portsToHand(packet))) return false;
  store<u32>(handed, index + 1, WORKER_HANDED);
  store<u32>(block, load<u32>(block, WORKER_WAKE) | (1 << owner), WORKER_WAKE);
  add(COUNTER_HANDED, 1);
  return true;
}

/** Shows what was handed over: each ring once, since its index is a cache line that the other worker reads. */
function showHanded(): void {
  for (let owners = load<u32>(block, WORKER_WAKE); owners != 0; owners &= owners - 1) {
    const at = block + (ctz(owners) << 2);
    const ring: usize = load<u32>(at, WORKER_HANDOFF);
    atomic.store<u32>(ring + MEMORY_RING_PRODUCER, load<u32>(at, WORKER_HANDED));
  }
}

/** Forgets what was to be handed over. */
function takeHandedBack(): void {
  for (let i: u32 = 0; i < MAX_WORKERS; i++) {
    const at = block + (i << 2);
    const ring: usize = load<u32>(at, WORKER_HANDOFF);
    if (ring != 0) store<u32>(at, load<u32>(ring, MEMORY_RING_PRODUCER), WORKER_HANDED);
  }
}

/** The length of a packet of the batch that waits in a place of its own by now. */
const GONE: u32 = 0xffffffff;

/** Hands over and holds what gets no verdict in this batch; where there is no room, it gets one. */
function keepAll(count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    const packet = packetAt(i);
    const kept: u32 = packet.reason;
    if (kept < REASON_HELD) continue;
    if (kept == REASON_HANDED) {
      if (hand(packet)) continue;
    } else if (hold(packet)) {
      packet.length = GONE;
      continue;
    }
    const reason = kept == REASON_HANDED ? REASON_HANDOFF_FULL : REASON_FRAGMENT_LIMIT;
    packet.reason = <u8>reason;
    countOutcome(packet, reason);
    free(packet);
  }
}

/** WORKER_SHOWING: that it is so, the frames that were freed, and those that were taken. */
const SHOWING: u32 = 1 << 31;
const SHOWING_FREED: u32 = 16;
const SHOWING_TAKEN_MASK: u32 = 0xffff;

/** Shows what became of the batch. @param kept whether some of it gets no verdict yet */
export function commit(count: u32, kept: bool): void {
  if (kept) keepAll(count);
  if (journal != 0) {
    for (let i: u32 = 0; i < count; i++) {
      const packet = packetAt(i);
      if (packet.reason != REASON_HANDED) record(packet);
    }
  }
  show(SHOWING | (freed << SHOWING_FREED) | extraCount);
}

/** From here on the batch is as good as shown: what is left can be done again from the start. */
function show(showing: u32): void {
  store<u32>(block, showing, WORKER_SHOWING);
  for (let i: u32 = 0; i < portCount; i++) {
    const port = portAt(i);
    if (port.txMask == 0 || port.txPending == producerIndex(port.tx)) continue;
    publish(port.tx, port.txPending);
    kickPort(port);
  }
  showHanded();
  settleFree(showing & SHOWING_TAKEN_MASK, (showing & ~SHOWING) >>> SHOWING_FREED);
  store<u32>(block, 0, WORKER_IN_HAND);
  store<u32>(block, 0, WORKER_SHOWING);
  resetFreed();
  resetExtras();
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

/** Gives up the batch in hand: nothing of it was shown to anyone. @returns packets that are lost */
function giveUp(): u32 {
  for (let i: u32 = 0; i < portCount; i++) resetPending(portAt(i));
  takeHandedBack();
  const count = load<u32>(block, WORKER_IN_HAND);
  resetFreed();
  resetExtras();
  for (let i: u32 = 0; i < count; i++) if (packetAt(i).length != GONE) free(packetAt(i));
  const lost = freed;
  setFreeCount(freeCount() + lost);
  resetFreed();
  store<u32>(block, 0, WORKER_IN_HAND);
  return lost;
}

/** Ends what this worker has begun: before its first batch, since another thread may have died over it, and after a trap. */
export function endBegun(): void {
  const showing = load<u32>(block, WORKER_SHOWING);
  if (showing != 0) show(showing);
  else add(COUNTER_REASONS + (REASON_TRAPPED << 3), giveUp());
  releaseLocks();
}
