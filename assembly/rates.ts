// How many packets a second come from each source prefix: leaky buckets in fixed memory, which all workers share.
//
//   63        48                                            0
//   ├─ tag ────┼─ time at which the bucket will be empty ────┤      a cell: one compare-and-swap changes it
//
// Times count units of 2^-20 ms, modulo 2^48 (74 hours). A packet pushes the time back by its VIP's interval, which is a second
// divided by the limit; a bucket that would need more than a second to run empty is full. That is the generic cell rate
// algorithm (ITU-T I.371, annex A), and exact whichever worker a packet comes to. A prefix has its cell in one line of eight.
// Where it has none it takes that of the emptiest bucket: mostly one that has run empty, and says nothing any more. So a
// flood from very many prefixes makes those forgotten that send least.

import { nowMs } from "./clock";
import { rates } from "./instance";
import { LINE, RATE_CELLS, RATE_LINES } from "./layout";

const TAG_SHIFT: u64 = 48;
const TIME_MASK: u64 = ((<u64>1) << TAG_SHIFT) - 1;
const UNIT_BITS: u64 = 20;
/** What a bucket holds: a second. */
const FULL: u64 = (<u64>1000) << UNIT_BITS;

/** How far the clock of the worker that wrote a time may be ahead: as workers step through time one after the other. */
const AHEAD: u64 = FULL;

/**
 * Units until a bucket is empty; more than FULL when its time is that of a worker whose clock is ahead. One that would need still
 * longer was empty long ago: its time has wrapped.
 */
function levelOf(cell: u64, now: u64): u64 {
  const level = (cell - now) & TIME_MASK;
  return level > FULL + AHEAD ? 0 : level;
}

/** Whether a packet of the prefix with this key may pass; if so, it is counted. */
export function mayPass(key: u64, interval: u64): bool {
  const line = rates + (<usize>key & (RATE_LINES - 1)) * LINE;
  const tag = key >>> TAG_SHIFT;
  const now = (nowMs << UNIT_BITS) & TIME_MASK;
  let at: usize = 0;
  let cell: u64 = 0;
  let next: u64 = 0;
  do {
    let level: u64 = 0;
    let least: u64 = u64.MAX_VALUE;
    for (let way: usize = 0; way < RATE_CELLS; way++) {
      const each = atomic.load<u64>(line + (way << 3));
      const its: u64 = each == 0 ? 0 : levelOf(each, now);
      const isOwn = each != 0 && each >>> TAG_SHIFT == tag;
      if (!isOwn && its >= least) continue;
      at = line + (way << 3);
      cell = each;
      least = its;
      level = isOwn ? its : 0;
      if (isOwn) break;
    }
    if (level + interval > FULL) return false;
    next = (tag << TAG_SHIFT) | ((now + level + interval) & TIME_MASK);
    // Another worker was faster: look again.
  } while (atomic.cmpxchg<u64>(at, cell, next) != cell);
  return true;
}
