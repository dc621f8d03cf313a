// The longest prefix of a map that contains an address: for each length that occurs among the map's prefixes, longest first,
// one probe of a hash table. A map is immutable; the controller builds it (src/dataplane/prefix-map.ts) as a block of its own or
// as part of one. Few lengths occur in practice, and only lengths that occur cost anything.

import { slotHash } from "./hash";
import {
  NO_PREFIX,
  PREFIX_ADDRESS,
  PREFIX_BYTES,
  PREFIX_FAMILY,
  PREFIX_MAP_LENGTHS_V4,
  PREFIX_MAP_LENGTHS_V6,
  PREFIX_MAP_MASK,
  PREFIX_MAP_SLOTS,
  PREFIX_MAP_V4,
  PREFIX_MAP_V6,
  PREFIX_TAG,
  PREFIX_VALUE,
} from "./layout";

/** The first `length` bits of eight bytes in network order, as a mask for what an x86 load makes of them. */
export function maskOf(length: u32): u64 {
  // A shift by 64 would be one by 0.
  if (length == 0) return 0;
  return length >= 64 ? ~(<u64>0) : bswap<u64>(~(<u64>0) << (64 - length));
}

/** What tells prefixes of one address apart. */
function tagOf(family: u32, length: u32): u32 {
  return length | (family << 24);
}

/**
 * @param map address of a prefix map
 * @param family 4 or 6
 * @param address0 first 8 bytes of the address, raw; an IPv4 address is in the first four and the others are zero
 * @param address1 last 8 bytes, raw; 0 for IPv4
 * @returns the value of the longest prefix that contains the address; NO_PREFIX when none does
 */
export function findPrefix(map: usize, family: u32, address0: u64, address1: u64): u32 {
  const lengths: usize = map + (family == 4 ? PREFIX_MAP_LENGTHS_V4 : PREFIX_MAP_LENGTHS_V6);
  const count: u32 = load<u8>(map + (family == 4 ? PREFIX_MAP_V4 : PREFIX_MAP_V6));
  for (let i: u32 = 0; i < count; i++) {
    const length: u32 = load<u8>(lengths + i);
    const masked0 = address0 & maskOf(length);
    const masked1 = length > 64 ? address1 & maskOf(length - 64) : 0;
    const value = probe(map, masked0, masked1, tagOf(family, length));
    if (value != NO_PREFIX) return value;
  }
  return NO_PREFIX;
}

/** The value of exactly this prefix, or NO_PREFIX. */
function probe(map: usize, address0: u64, address1: u64, tag: u32): u32 {
  const mask = load<u32>(map, PREFIX_MAP_MASK);
  let i = slotHash(address0, address1, tag) & mask;
  for (;;) {
    const slot = map + PREFIX_MAP_SLOTS + i * PREFIX_BYTES;
    if (load<u8>(slot, PREFIX_FAMILY) == 0) break;
    const differs =
      (load<u64>(slot, PREFIX_ADDRESS) ^ address0) |
      (load<u64>(slot, PREFIX_ADDRESS + 8) ^ address1) |
      <u64>(load<u32>(slot, PREFIX_TAG) ^ tag);
    if (differs == 0) return load<u32>(slot, PREFIX_VALUE);
    i = (i + 1) & mask;
  }
  return NO_PREFIX;
}
