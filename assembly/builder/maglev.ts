// Maglev's table population (NSDI 2016, §3.4), in Envoy's definition: which backend gets which slot.
//
// A backend's preference list is offset, offset + skip, offset + 2·skip … modulo the size, walked in place
// and never written down. In iteration i (from 1) a backend takes a turn unless i × weight < target, and then
// target += the greatest weight; weight 0 takes none.
//
// When few slots are left, walking to the next free one takes long: on average size/free steps. From there on the
// free slots are listed, and of the F left the backend's next is the one with the least
// (slot − next) · skip⁻¹ mod size: exactly the one that walking would find.

import { count, Entry, entryAt, free, size, slots, taken } from "./memory";
import { xxhash64 } from "./xxhash64";

/** Slots left when the last phase begins: there F²/2 products cost what the walks would. */
export function tailOf(size: u32): u32 {
  return <u32>Math.sqrt(<f64>size);
}

function prepareEntries(): u64 {
  let most: u64 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const entry = entryAt(i);
    entry.next = <u32>(xxhash64(entry.keyAt, entry.keyBytes, 0) % size);
    entry.skip = <u32>(xxhash64(entry.keyAt, entry.keyBytes, 1) % (size - 1)) + 1;
    entry.inverse = 0;
    entry.target = 0;
    if (entry.weight > most) most = entry.weight;
  }
  return most;
}

/** a⁻¹ modulo the prime m, by Euclid's extended algorithm. */
function inverseOf(a: u32, m: u32): u32 {
  let r0: i64 = m;
  let r1: i64 = a;
  let t0: i64 = 0;
  let t1: i64 = 1;
  while (r1 != 0) {
    const q = r0 / r1;
    const r = r0 - q * r1;
    r0 = r1;
    r1 = r;
    const t = t0 - q * t1;
    t0 = t1;
    t1 = t;
  }
  return <u32>(t0 < 0 ? t0 + m : t0);
}

function after(entry: Entry, slot: u32): u32 {
  const next = <u64>slot + entry.skip;
  return <u32>(next >= size ? next - size : next);
}

/** The backend's next free slot by walking its list. */
function walk(entry: Entry): u32 {
  let slot = entry.next;
  while (load<u8>(taken + slot) != 0) slot = after(entry, slot);
  return slot;
}

/** Lists the slots that are left. @returns how many */
function listFree(): u32 {
  let left: u32 = 0;
  for (let slot: u32 = 0; slot < size; slot++) {
    if (load<u8>(taken + slot) != 0) continue;
    store<u32>(free + (left << 2), slot);
    left++;
  }
  return left;
}

/** The backend's next free slot out of the `left` listed; it leaves the list. */
function pick(entry: Entry, left: u32): u32 {
  if (entry.inverse == 0) entry.inverse = inverseOf(entry.skip, size);
  let best: u32 = 0;
  let least: u64 = u64.MAX_VALUE;
  for (let i: u32 = 0; i < left; i++) {
    const slot = load<u32>(free + (i << 2));
    const distance = <u64>slot + (slot < entry.next ? size : 0) - entry.next;
    const steps = (distance * entry.inverse) % size;
    if (steps < least) {
      least = steps;
      best = i;
    }
  }
  const slot = load<u32>(free + (best << 2));
  store<u32>(free + (best << 2), load<u32>(free + ((left - 1) << 2)));
  return slot;
}

/**
 * Fills the slots with backend ids.
 * @returns the number of slots filled: the size, or 0 when no backend has a weight
 */
export function populate(): u32 {
  const most = prepareEntries();
  if (most == 0) return 0;
  memory.fill(taken, 0, size);
  const tail = tailOf(size);
  let left = size;
  let listed = false;
  for (let iteration: u64 = 1; left != 0; iteration++) {
    for (let i: u32 = 0; i < count && left != 0; i++) {
      const entry = entryAt(i);
      if (entry.weight == 0 || iteration * entry.weight < entry.target) continue;
      entry.target += most;
      if (!listed && left <= tail) {
        listFree();
        listed = true;
      }
      const slot = listed ? pick(entry, left) : walk(entry);
      store<u8>(taken + slot, 1);
      store<u16>(slots + (slot << 1), <u16>entry.id);
      entry.next = after(entry, slot);
      left--;
    }
  }
  return size;
}
