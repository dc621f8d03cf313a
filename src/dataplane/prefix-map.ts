// Builds prefix maps: the longest prefix that contains an address, as the data plane looks it up (assembly/prefix-map.ts,
// PREFIX_MAP_* of layout.ts).

import * as L from "../../assembly/layout.ts";
import type { Prefix } from "../config/prefix.ts";
import type { DataplaneExports } from "./binary.ts";
import { powerOfTwo } from "./plan.ts";

export interface PrefixEntry {
  prefix: Prefix;
  /** 32 bits; anything but NO_PREFIX. */
  value: number;
}

/** Hash slots for a number of prefixes: at most half of them taken. */
function slotsFor(prefixes: number): number {
  return powerOfTwo(prefixes * 2 + 2);
}

/** Bytes of a map of so many prefixes: a multiple of 64. */
export function prefixMapBytes(prefixes: number): number {
  return L.PREFIX_MAP_SLOTS + slotsFor(prefixes) * L.PREFIX_BYTES;
}

/** The 20 bytes that a prefix is found by. */
function keyOf({ family, bytes, length }: Prefix): Uint8Array {
  const key = new Uint8Array(L.PREFIX_VALUE);
  key.set(bytes, L.PREFIX_ADDRESS);
  key[L.PREFIX_TAG] = length;
  key[L.PREFIX_FAMILY] = family;
  return key;
}

/**
 * The bytes of a map. It may lie at any address that is a multiple of 8.
 * @param entries each prefix once: of several, any is found
 * @param slotHash of the data plane, so that both look in the same place
 */
export function prefixMap(
  entries: readonly PrefixEntry[],
  slotHash: DataplaneExports["slotHash"],
): Uint8Array {
  const map = new Uint8Array(prefixMapBytes(entries.length));
  const view = new DataView(map.buffer);
  const mask = slotsFor(entries.length) - 1;
  view.setUint32(L.PREFIX_MAP_MASK, mask, true);
  for (const [family, count, at] of [
    [4, L.PREFIX_MAP_V4, L.PREFIX_MAP_LENGTHS_V4],
    [6, L.PREFIX_MAP_V6, L.PREFIX_MAP_LENGTHS_V6],
  ] as const) {
    const own = entries.filter(({ prefix }) => prefix.family === family);
    const lengths = [...new Set(own.map(({ prefix }) => prefix.length))].sort((a, b) => b - a);
    map[count] = lengths.length;
    map.set(lengths, at);
  }
  for (const { prefix, value } of entries) {
    const key = keyOf(prefix);
    const words = new DataView(key.buffer);
    const hash = slotHash(
      words.getBigUint64(L.PREFIX_ADDRESS, true),
      words.getBigUint64(L.PREFIX_ADDRESS + 8, true),
      words.getUint32(L.PREFIX_TAG, true),
    );
    let slot = hash & mask;
    const at = () => L.PREFIX_MAP_SLOTS + slot * L.PREFIX_BYTES;
    while (map[at() + L.PREFIX_FAMILY] !== 0) slot = (slot + 1) & mask;
    map.set(key, at());
    view.setUint32(at() + L.PREFIX_VALUE, value, true);
  }
  return map;
}
