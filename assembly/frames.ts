// Frames: where free packet buffers live, and how they get back to the kernel.
//
//   state         in                                         moved by
//   offered       a FILL ring                                whoever holds that queue's lock
//   received      an RX ring                                 the kernel (or the port's other end)
//   in hand       the batch of a worker                      that worker
//   handed        a hand-off ring                            the worker that pushed it
//   held          a place of a fragment that waits           the owner of its shard: see fragment-table.ts
//   sending       a TX ring                                  the worker that pushed it
//   sent          a COMPLETION ring                          the kernel (or the port's other end)
//   free          the free list of a worker                  that worker, in passing: see recycle()
//
// A frame is in exactly one of them at any time. Free lists are transit: a worker passes what it has to the
// FILL ring that has fewest, whatever interface the frame came from, so a frame received here and sent
// there balances out. Where VIPs have tunnels, each keeps a few for the fragments that it makes (HEADER_RESERVE). FILL and
// COMPLETION can hold all frames, so this never gets stuck. Queues that carry probes have a limit: they are kept at so many
// frames, which the others do without, and take no part in the balance.

import { wake } from "./host";
import { block, frameBytes, freeList, portAt, portCount, queueAt, queueCount, self } from "./instance";
import {
  HEADER_FRAME_COUNT,
  HEADER_RESERVE,
  HEADER_RUNNING,
  HEADER_WORKERS,
  INTENT_DRAIN,
  INTENT_FILL,
  INTENT_NONE,
  NO_SOCKET,
  RING_NEED_WAKEUP,
  WORKER_BYTES,
  WORKER_FREE_COUNT,
} from "./layout";
import { Queue } from "./records";
import { available, consumerIndex, frameSlot, occupied, producerIndex, publish, release } from "./ring";

export function freeCount(): u32 {
  return load<u32>(block, WORKER_FREE_COUNT);
}

export function setFreeCount(count: u32): void {
  store<u32>(block, count, WORKER_FREE_COUNT);
}

/** Writes a frame at place `at` of the free list; it counts from the next setFreeCount on. */
export function writeFree(at: u32, frame: u32): void {
  store<u32>(freeList + (at << 2), frame);
}

export function readFree(at: u32): u32 {
  return load<u32>(freeList + (at << 2));
}

/** Frames freed by the batch in hand: behind the list's end, which they join when the batch is shown. */
export let freed: u32 = 0;

export function resetFreed(): void {
  freed = 0;
}

export function freeFrame(frame: u32): void {
  writeFree(freeCount() + freed, frame);
  freed++;
}

/** Frames of the free list that go on: all but those that the worker keeps for fragments. */
function spare(): u32 {
  const free = freeCount();
  const kept = load<u32>(HEADER_RESERVE);
  return free > kept ? free - kept : 0;
}

/** Frames of the free list that a queue may have. One with a limit is small, and its frames come back to it: nothing is kept from it. */
function spareFor(queue: Queue): u32 {
  return queue.limit != 0 ? freeCount() : spare();
}

/** Whether four descriptors can be moved at once: so many are left, and they lie in front of the ring's end. */
function fourAhead(index: u32, mask: u32, left: u32): bool {
  return left >= 4 && (index & mask) + 3 <= mask;
}

/** Frames that other workers are short of what they keep, less those that this pass has left for them. */
let owed: u32 = 0;

function findOwed(): void {
  owed = 0;
  const kept = load<u32>(HEADER_RESERVE);
  if (kept == 0) return;
  const workers = load<u32>(HEADER_RUNNING);
  for (let i: u32 = 0; i < workers; i++) {
    const free = atomic.load<u32>(<usize>load<u32>(HEADER_WORKERS) + i * WORKER_BYTES + WORKER_FREE_COUNT);
    if (i != self && free < kept) owed += kept - free;
  }
}

/** How many of the completions of a queue this worker takes: all, but those that others are short of, who can get them nowhere else. */
function takeable(completions: u32): u32 {
  if (owed == 0) return completions;
  const kept = load<u32>(HEADER_RESERVE);
  const free = freeCount();
  const short = free < kept ? kept - free : 0;
  const most = completions > owed ? completions - owed : 0;
  const least = completions < short ? completions : short;
  const count = most > least ? most : least;
  owed -= completions - count;
  return count;
}

/** Moves frames from the queue's COMPLETION ring to the free list. The lock is held. */
function drain(queue: Queue): void {
  const ring = queue.completion;
  const waiting = available(ring);
  const count = queue.limit != 0 ? waiting : takeable(waiting);
  if (count == 0) return;
  const from = consumerIndex(ring);
  const free = freeCount();
  queue.intend(INTENT_DRAIN, from, free, count);
  const descriptors = ring.descriptors;
  const mask = ring.mask;
  const base = ~(frameBytes - 1);
  for (let i: u32 = 0; i < count; ) {
    const slot = frameSlot(descriptors, mask, from + i);
    const place = freeList + ((free + i) << 2);
    if (fourAhead(from + i, mask, count - i)) {
      const addresses = i32x4.shuffle(v128.load(slot), v128.load(slot, 16), 0, 2, 4, 6);
      v128.store(place, v128.and(addresses, i32x4.splat(base)));
      i += 4;
    } else {
      store<u32>(place, load<u32>(slot) & base);
      i++;
    }
  }
  setFreeCount(free + count);
  release(ring, from + count);
  queue.intend(INTENT_NONE, 0, 0, 0);
}

/** Moves `count` frames from the free list to the queue's FILL ring, newest first: they are warm. The lock is held. */
function fill(queue: Queue, count: u32): void {
  const ring = queue.fill;
  const from = producerIndex(ring);
  const free = freeCount();
  queue.intend(INTENT_FILL, from, free, count);
  const descriptors = ring.descriptors;
  const mask = ring.mask;
  for (let i: u32 = 0; i < count; ) {
    const slot = frameSlot(descriptors, mask, from + i);
    const above = freeList + ((free - i) << 2);
    if (fourAhead(from + i, mask, count - i)) {
      const frames = v128.load(above - 16);
      v128.store(slot, i64x2.extend_low_i32x4_u(i32x4.shuffle(frames, frames, 3, 2, 1, 0)));
      v128.store(slot, i64x2.extend_low_i32x4_u(i32x4.shuffle(frames, frames, 1, 0, 3, 2)), 16);
      i += 4;
    } else {
      store<u64>(slot, load<u32>(above - 4));
      i++;
    }
  }
  publish(ring, from + count);
  setFreeCount(free - count);
  queue.intend(INTENT_NONE, 0, 0, 0);
}

/**
 * Ends what this worker began at the queues it holds, and lets them go: after it was interrupted in recycle(). The intent says
 * what was under way, the ring's index whether it had been shown.
 */
export function releaseLocks(): void {
  for (let i: u32 = 0; i < queueCount; i++) {
    const queue = queueAt(i);
    if (!queue.isHeldBy(self)) continue;
    const free = queue.intendedFree;
    const count = queue.intendedCount;
    if (queue.intent == INTENT_DRAIN) {
      const shown = consumerIndex(queue.completion) != queue.intendedIndex;
      setFreeCount(shown ? free + count : free);
    } else if (queue.intent == INTENT_FILL) {
      const shown = producerIndex(queue.fill) != queue.intendedIndex;
      setFreeCount(shown ? free - count : free);
    }
    queue.intend(INTENT_NONE, 0, 0, 0);
    queue.unlock();
  }
}

/** Frames that queues with a limit are short of, as neediest() has found. */
let shortage: u32 = 0;

/** Frames that a queue with a limit is short of; 0 for one without. */
function shortageOf(queue: Queue, level: u32): u32 {
  const limit = queue.limit;
  return limit > level ? limit - level : 0;
}

/** The queue without a limit whose FILL ring holds fewest frames. */
function neediest(): u32 {
  let best: u32 = 0;
  let least: u32 = 0xffffffff;
  shortage = 0;
  for (let i: u32 = 0; i < queueCount; i++) {
    const queue = queueAt(i);
    const level = occupied(queue.fill);
    shortage += shortageOf(queue, level);
    if (queue.limit == 0 && level < least) {
      least = level;
      best = i;
    }
  }
  return best;
}

/** Frames of the free list that a queue gets: what it is short of, or all that those are not short of. The lock is held. */
function shareOf(queue: Queue, isNeediest: bool): u32 {
  const free = spareFor(queue);
  if (queue.limit != 0) {
    const short = shortageOf(queue, occupied(queue.fill));
    const count = short < free ? short : free;
    shortage -= count < shortage ? count : shortage;
    return count;
  }
  return isNeediest && free > shortage ? free - shortage : 0;
}

/**
 * Drains completions and refills. A queue that another worker is busy with is left to it: what stays on the
 * free list goes with the next call.
 * @returns whether nothing is left on the free list but what the worker keeps, and no completion is waiting
 */
export function recycle(): bool {
  let clean = true;
  findOwed();
  const needy = queueCount > 1 ? neediest() : 0;
  for (let i: u32 = 0; i < queueCount; i++) {
    const queue = queueAt(i);
    const isFilled = queue.limit != 0 ? shortage == 0 : i != needy;
    if (available(queue.completion) == 0 && (isFilled || spareFor(queue) == 0)) continue;
    if (!queue.tryLock(self)) {
      clean = false;
      continue;
    }
    drain(queue);
    const count = shareOf(queue, i == needy);
    if (count != 0) fill(queue, count);
    queue.unlock();
  }
  return clean && spare() == 0;
}

/** Frames that a FILL ring should hold before its workers go to sleep: more may be on their way back. */
const LEAN: u32 = 64;

/**
 * Whether some FILL ring is nearly empty. Where there are few frames, half of an even share is enough. Queues with a limit are
 * small, and nobody stays awake for them.
 */
export function lean(): bool {
  if (queueCount == 0) return false;
  const share = (load<u32>(HEADER_FRAME_COUNT) / queueCount) >>> 1;
  const least = share < LEAN ? share : LEAN;
  for (let i: u32 = 0; i < queueCount; i++) {
    const queue = queueAt(i);
    if (queue.limit == 0 && occupied(queue.fill) < least) return true;
  }
  return false;
}

/** Asks the kernel to look at FILL rings again where its driver went to sleep over an empty one. */
export function wakeFill(): void {
  for (let i: u32 = 0; i < portCount; i++) {
    const port = portAt(i);
    if (port.queue == 0 || port.socket == NO_SOCKET) continue;
    const flags = changetype<Queue>(port.queue).fill.flags;
    if (atomic.load<u32>(flags) & RING_NEED_WAKEUP) wake(port.socket);
  }
}
