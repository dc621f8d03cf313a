// Packets that a batch sends beyond those that came: fragments, in frames of the worker's free list.
//
//   take      a frame of the free list gets a record; it stays on the list until the batch is shown
//   emit      the record's packet goes where that of its packet went, or its frame back (ports.ts)
//   settle    the frames that were taken leave the list, those that the batch freed join it
//
// A batch that is given up in between has changed nothing. settle can be done again when it was interrupted (ports.ts).

import { freeCount, readFree, setFreeCount, writeFree } from "./frames";
import { block } from "./instance";
import { EXTRA_BYTES, MAX_EXTRAS, WORKER_EXTRAS } from "./layout";
import { Extra, Packet } from "./records";

/** Records of the batch in hand. */
export let extraCount: u32 = 0;

/** Before a batch, and after one that was given up. */
export function resetExtras(): void {
  extraCount = 0;
}

export function extraAt(i: u32): Extra {
  return changetype<Extra>(block + WORKER_EXTRAS + i * EXTRA_BYTES);
}

/** Whether there are frames, and records, for so many more. */
export function hasExtras(count: u32): bool {
  return extraCount + count <= MAX_EXTRAS && extraCount + count <= freeCount();
}

/** One more that follows a packet, with a frame. hasExtras() was true. */
export function takeExtra(packet: Packet): Extra {
  const extra = extraAt(extraCount);
  extraCount++;
  extra.frame = readFree(freeCount() - extraCount);
  extra.packet = <u32>changetype<usize>(packet);
  packet.extras++;
  return extra;
}

/**
 * Brings the free list up to date: the last `taken` frames have left it, and `freed` ones were written behind its end, of which the
 * last fill the gap.
 */
export function settleFree(taken: u32, freed: u32): void {
  const free = freeCount();
  const kept = free - taken;
  const moved = taken < freed ? taken : freed;
  for (let i: u32 = 1; i <= moved; i++) writeFree(kept + moved - i, readFree(free + freed - i));
  setFreeCount(kept + freed);
}
