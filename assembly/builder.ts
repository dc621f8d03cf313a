// Entry of the table builder: a module of its own with a memory of its own, so that building a table neither
// touches the arena nor runs on the packet path. The host copies the finished slots into the table heap.

import { populate, tailOf } from "./builder/maglev";
import { keys, layOut, slots } from "./builder/memory";

/**
 * Makes room for a build.
 * @param backends number of records to be written from the returned address on (builder/memory.ts: Entry)
 * @returns their address, or 0 when there is not that much memory
 */
export function prepare(backends: u32, keyBytes: u32, size: u32): usize {
  return layOut(backends, keyBytes, size, tailOf(size));
}

/** Where the keys' bytes go. */
export function keysAt(): usize {
  return keys;
}

/** Where the result lies: one id of 16 bits per slot. */
export function slotsAt(): usize {
  return slots;
}

/** Builds the Maglev table. @returns the slots filled; 0 when no backend has a weight */
export function maglev(): u32 {
  return populate();
}
