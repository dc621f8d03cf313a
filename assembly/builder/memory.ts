// The builder's own memory. One build uses it from the beginning; the host fills the inputs in between
// `prepare` and `build` and copies the slots out after it.
//
//   ├ backends, 48 bytes each ┼ keys ┼ slots u16 × size ┼ taken u8 × size ┼ free u32 × tail ┤

export const BACKEND_BYTES: u32 = 48;

/** Inputs, written by the host: where the key begins and how long it is, the weight, the id that goes into the slots. */
@unmanaged
export class Entry {
  keyAt: u32;
  keyBytes: u32;
  weight: u32;
  id: u32;
  /** The slot that the backend asks for next, and the step of its permutation. */
  next: u32;
  skip: u32;
  /** Inverse of skip modulo the size; 0 until it is needed. */
  inverse: u32;
  pad: u32;
  /** Turn counter for weights. */
  target: u64;
}

export let count: u32 = 0;
export let size: u32 = 0;
export let keys: usize = 0;
export let slots: usize = 0;
export let taken: usize = 0;
export let free: usize = 0;

const BASE: usize = 1024;

function align(address: usize): usize {
  return (address + 63) & ~63;
}

export function entryAt(i: u32): Entry {
  return changetype<Entry>(BASE + i * BACKEND_BYTES);
}

/**
 * Lays the memory out and grows it.
 * @param tail slots that the last phase lists
 * @returns the address of the first backend record, 0 when memory cannot grow that far
 */
export function layOut(backends: u32, keyBytes: u32, tableSize: u32, tail: u32): usize {
  count = backends;
  size = tableSize;
  keys = BASE + backends * BACKEND_BYTES;
  slots = align(keys + keyBytes);
  taken = align(slots + tableSize * 2);
  free = align(taken + tableSize);
  const end = free + tail * 4;
  const pages = <i32>((end + 0xffff) >>> 16) - memory.size();
  if (pages > 0 && memory.grow(pages) < 0) return 0;
  return BASE;
}
