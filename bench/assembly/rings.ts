// Both ends of a ring of our own, without anything else: descriptors are written as a worker does that hands packets over, and
// read as one does that gathers a batch.

import {
  HANDOFF_ENTRIES,
  MEMORY_RING_CONSUMER,
  MEMORY_RING_DESCRIPTORS,
  MEMORY_RING_PRODUCER,
} from "../../assembly/layout";
import { packetSlot, pushBlock } from "../../assembly/ring";

/** What was read: exported, so that the compiler keeps the reads. */
export let received: u64 = 0;

/**
 * Writes `count` packets, showing them `batch` at a time; waits where the ring is full.
 * @param ring address of the ring's block
 */
export function produce(ring: usize, count: u32, batch: u32): void {
  let index = load<u32>(ring, MEMORY_RING_PRODUCER);
  for (let left = count; left != 0; ) {
    const size = left < batch ? left : batch;
    for (let i: u32 = 0; i < size; ) if (pushBlock(ring, HANDOFF_ENTRIES, index + i, index + i, 64, 0)) i++;
    index += size;
    atomic.store<u32>(ring + MEMORY_RING_PRODUCER, index);
    left -= size;
  }
}

/** Takes `count` packets, at most `batch` at a time; waits where the ring is empty. */
export function consume(ring: usize, count: u32, batch: u32): void {
  let index = load<u32>(ring, MEMORY_RING_CONSUMER);
  let sum = received;
  for (let left = count; left != 0; ) {
    const waiting = atomic.load<u32>(ring + MEMORY_RING_PRODUCER) - index;
    let size = waiting < batch ? waiting : batch;
    if (size > left) size = left;
    if (size == 0) continue;
    for (let i: u32 = 0; i < size; i++) {
      const slot = packetSlot(ring + MEMORY_RING_DESCRIPTORS, HANDOFF_ENTRIES - 1, index + i);
      sum += load<u64>(slot) + load<u64>(slot, 8);
    }
    index += size;
    atomic.store<u32>(ring + MEMORY_RING_CONSUMER, index);
    left -= size;
  }
  received = sum;
}
