// IPv6 extension headers (RFC 8200 §4): from the IPv6 header to what lies behind them. Rare, so it is beside the way of other
// packets; the XDP program walks alike.
//
//   0      1        2                3
//   ├ next ┼ length ┼ routing type ──┼ segments left ──┤ …        a length of n: 8 × (n + 1) bytes (RFC 6564)
//   ├ next ┼ 0 ─────┼ offset, 0, more ─────────────────┼ identification (4 bytes)      fragment header

import { MAX_EXTENSION_HEADERS } from "./layout";
import { EXTENSION_BYTES, isExtension, NEXT_AUTHENTICATION, NEXT_FRAGMENT, NEXT_ROUTING } from "./wire/ipv6";

const LENGTH: usize = 1;
const FRAGMENT: usize = 2;
const SEGMENTS_LEFT: usize = 3;
const IDENTIFICATION: usize = 4;
/** Offset and more-fragments bit of a fragment header, raw. */
const FRAGMENT_MASK: u32 = 0xf9ff;

/** What walk() returns when a header is cut short, or is one that is not walked. */
export const WALK_TRUNCATED: u32 = 1 << 16;
export const WALK_REFUSED: u32 = 2 << 16;

// Every getter needs the 8 bytes of a fragment header.

/** Bytes of the datagram's fragmentable part in front of this fragment. */
export function fragmentOffset6(header: usize): u32 {
  return bswap<u16>(load<u16>(header, FRAGMENT)) & 0xfff8;
}
export function hasMoreFragments6(header: usize): bool {
  return (load<u8>(header, FRAGMENT + 1) & 1) != 0;
}
/** Raw. */
export function identification6(header: usize): u32 {
  return load<u32>(header, IDENTIFICATION);
}
/** Whether it is a fragment other than the first. */
export function isLaterFragment6(header: usize): bool {
  return fragmentOffset6(header) != 0;
}

/**
 * Walks extension headers up to what is none, or is a fragment header of more than one fragment (RFC 6946).
 * @param at address behind the IPv6 header
 * @param next what the IPv6 header says is there
 * @param room bytes from there on that may be read
 * @param most bytes that may be walked
 * @returns bytes walked | number of what follows << 8, or WALK_*
 */
export function walk(at: usize, next: u32, room: u32, most: u32): u32 {
  let walked: u32 = 0;
  for (let headers: u32 = 0; isExtension(next); headers++) {
    // What the authentication header protects cannot be known without its key.
    if (next == NEXT_AUTHENTICATION || headers == MAX_EXTENSION_HEADERS) return WALK_REFUSED;
    const header = at + walked;
    if (room - walked < EXTENSION_BYTES) return WALK_TRUNCATED;
    let bytes = EXTENSION_BYTES;
    if (next == NEXT_FRAGMENT) {
      if ((load<u16>(header, FRAGMENT) & FRAGMENT_MASK) != 0) break;
    } else {
      // Until its last segment, a packet is not for the address that it carries (RFC 8200 §4.4).
      if (next == NEXT_ROUTING && load<u8>(header, SEGMENTS_LEFT) != 0) return WALK_REFUSED;
      bytes += (<u32>load<u8>(header, LENGTH)) << 3;
    }
    if (room - walked < bytes) return WALK_TRUNCATED;
    walked += bytes;
    if (walked > most) return WALK_REFUSED;
    next = load<u8>(header);
  }
  return walked | (next << 8);
}
