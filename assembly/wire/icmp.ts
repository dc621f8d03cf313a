// ICMP (RFC 792) and ICMPv6 (RFC 4443): both begin alike.
//
//   0      1      2          4                8
//   ├ type ┼ code ┼ checksum ┼ rest of header ┤

import { checksumOf, replaceSum, replaceWord, sumOf } from "./checksum";

const TYPE_CODE: usize = 0;
const CHECKSUM: usize = 2;

export const ICMP_BYTES: u32 = 8;
/** Type and code 0 of an echo request, raw: the type is the low byte. */
export const ECHO_REQUEST_V4: u32 = 8;
export const ECHO_REQUEST_V6: u32 = 128;
export const ECHO_REPLY_V4: u32 = 0;
export const ECHO_REPLY_V6: u32 = 129;

/** Destination unreachable, fragmentation needed (RFC 792); packet too big (RFC 4443 §3.2). */
export const FRAGMENTATION_NEEDED: u32 = 0x0403;
export const PACKET_TOO_BIG: u32 = 2;

/** Whether a message of a type quotes the packet that it is about: RFC 792 unreachable, time exceeded, parameter problem. */
export function isError4(type: u32): bool {
  return type == 3 || type == 11 || type == 12;
}
/** The same for ICMPv6, RFC 4443 §3: besides these, packet too big. */
export function isError6(type: u32): bool {
  return type - 1 < 4;
}

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

/**
 * Writes a header in front of what it quotes.
 * @param typeCode type in the low, code in the high byte
 * @param rest the last four bytes of the header, raw
 * @param length bytes of the whole message
 * @param pseudo sum of the words of the pseudo-header, where there is one (RFC 8200 §8.1)
 */
export function write(icmp: usize, typeCode: u32, rest: u32, length: u32, pseudo: u64): void {
  store<u64>(icmp, <u64>typeCode | ((<u64>rest) << 32));
  store<u16>(icmp, <u16>checksumOf(pseudo + sumOf(icmp, length)), CHECKSUM);
}

/** Corrects the checksum for changes of what it covers. @param changes as replaceSum has them */
export function correct(icmp: usize, changes: u64): void {
  store<u16>(icmp, <u16>replaceSum(load<u16>(icmp, CHECKSUM), changes), CHECKSUM);
}
