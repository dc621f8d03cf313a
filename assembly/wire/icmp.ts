// ICMP (RFC 792) and ICMPv6 (RFC 4443): both begin alike.
//
//   0      1      2          4                8
//   ├ type ┼ code ┼ checksum ┼ rest of header ┤

import { replaceWord } from "./checksum";

const TYPE_CODE: usize = 0;
const CHECKSUM: usize = 2;

export const ICMP_BYTES: u32 = 8;
/** Type and code 0 of an echo request, raw: the type is the low byte. */
export const ECHO_REQUEST_V4: u32 = 8;
export const ECHO_REQUEST_V6: u32 = 128;
export const ECHO_REPLY_V4: u32 = 0;
export const ECHO_REPLY_V6: u32 = 129;

/** Type in the low, code in the high byte. */
export function typeCode(icmp: usize): u32 {
  return load<u16>(icmp, TYPE_CODE);
}

/**
 * Replaces type and code and corrects the checksum. ICMPv6 covers the addresses too, but exchanging them
 * leaves the sum as it is.
 */
export function setTypeCode(icmp: usize, value: u32): void {
  const before = typeCode(icmp);
  store<u16>(icmp, <u16>value, TYPE_CODE);
  store<u16>(icmp, <u16>replaceWord(load<u16>(icmp, CHECKSUM), before, value), CHECKSUM);
}
