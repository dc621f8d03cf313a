// IPv4 header, RFC 791 §3.1.
//
//   0   1     2        4     6               8     9       10        12       16            20
//   ├v/l┼ tos ┼ length ┼ id ─┼ flags offset ─┼ ttl ┼ proto ┼ checksum┼ source ┼ destination ┤

import { changeWord, checksumOf, replaceSum, replaceWord, sumOf } from "./checksum";

const VERSION_LENGTH: usize = 0;
const TOS: usize = 1;
const TOTAL_LENGTH: usize = 2;
const IDENTIFICATION: usize = 4;
const FRAGMENT: usize = 6;
const TTL: usize = 8;
const PROTOCOL: usize = 9;
const CHECKSUM: usize = 10;
export const SOURCE: usize = 12;
export const DESTINATION: usize = 16;

export const IPV4_BYTES: u32 = 20;
export const PROTOCOL_ICMP: u32 = 1;
/** IPv4, and IPv6, inside IP. */
export const PROTOCOL_IPV4: u32 = 4;
export const PROTOCOL_TCP: u32 = 6;
export const PROTOCOL_UDP: u32 = 17;
export const PROTOCOL_IPV6: u32 = 41;
export const PROTOCOL_GRE: u32 = 47;
/** Don't-fragment bit, raw. */
const DONT_FRAGMENT: u32 = 0x0040;
/** Fragment offset, raw. */
const OFFSET_MASK: u32 = 0xff1f;
/** More-fragments bit and offset, raw. */
const FRAGMENT_MASK: u32 = 0xff3f;

// Every getter needs the 20 bytes of the fixed header.

export function version(ip: usize): u32 {
  return load<u8>(ip, VERSION_LENGTH) >>> 4;
}
/** Whether it is version 4 and has no options: one compare for nearly every packet. */
export function isPlain(ip: usize): bool {
  return load<u8>(ip, VERSION_LENGTH) == 0x45;
}
/** Bytes of the header with its options. */
export function headerBytes(ip: usize): u32 {
  return (load<u8>(ip, VERSION_LENGTH) & 15) << 2;
}
export function tos(ip: usize): u32 {
  return load<u8>(ip, TOS);
}
/** Bytes of the packet, header included. */
export function totalLength(ip: usize): u32 {
  return bswap<u16>(load<u16>(ip, TOTAL_LENGTH));
}
export function isFragment(ip: usize): bool {
  return (load<u16>(ip, FRAGMENT) & FRAGMENT_MASK) != 0;
}
/** Raw. */
export function identification(ip: usize): u32 {
  return load<u16>(ip, IDENTIFICATION);
}
/** Bytes of the datagram in front of this fragment. */
export function fragmentOffset(ip: usize): u32 {
  return (<u32>bswap<u16>(load<u16>(ip, FRAGMENT)) & 0x1fff) << 3;
}
export function hasMoreFragments(ip: usize): bool {
  return (load<u8>(ip, FRAGMENT) & 0x20) != 0;
}
/** Whether it is a fragment other than the first. */
export function isLaterFragment(ip: usize): bool {
  return (load<u16>(ip, FRAGMENT) & OFFSET_MASK) != 0;
}
export function ttl(ip: usize): u32 {
  return load<u8>(ip, TTL);
}
export function protocol(ip: usize): u32 {
  return load<u8>(ip, PROTOCOL);
}
/** Raw. */
export function source(ip: usize): u32 {
  return load<u32>(ip, SOURCE);
}
/** Raw. */
export function destination(ip: usize): u32 {
  return load<u32>(ip, DESTINATION);
}
export function swapAddresses(ip: usize): void {
  store<u64>(ip, rotr(load<u64>(ip, SOURCE), 32), SOURCE);
}

/**
 * Writes a header without options: identification 0 and DF, an atomic datagram (RFC 6864 §4.1).
 * @param source raw
 * @param destination raw
 */
export function write(
  ip: usize,
  tos: u32,
  totalLength: u32,
  ttl: u32,
  protocol: u32,
  source: u32,
  destination: u32,
): void {
  const first: u32 = 0x45 | (tos << 8) | ((<u32>bswap<u16>(<u16>totalLength)) << 16);
  const second: u32 = DONT_FRAGMENT << 16;
  const third: u32 = ttl | (protocol << 8);
  const checksum = checksumOf(<u64>first + second + third + source + destination);
  store<u64>(ip, <u64>first | ((<u64>second) << 32));
  // In front of a received packet the checksum begins a cache line: no store crosses into it.
  store<u16>(ip, <u16>third, TTL);
  store<u16>(ip, <u16>checksum, CHECKSUM);
  store<u64>(ip, <u64>source | ((<u64>destination) << 32), SOURCE);
}

/** Whether the header's checksum is right. Needs the whole header. */
export function isIntact(ip: usize): bool {
  const end = ip + headerBytes(ip);
  let sum: u64 = 0;
  for (let at = ip; at < end; at += 4) sum += load<u32>(at);
  return checksumOf(sum) == 0;
}

/**
 * Takes one off the TTL, which is not 0, and corrects the checksum for that and for more changes of the header.
 * @param changes as replaceSum has them
 */
export function forwardTtl(ip: usize, changes: u64): void {
  // Of the raw word with the protocol the TTL is the low byte: w becomes w − 1, and ~w + w − 1 is always this.
  const oneLess: u64 = 0xfffe;
  store<u8>(ip, load<u8>(ip, TTL) - 1, TTL);
  store<u16>(ip, <u16>replaceSum(load<u16>(ip, CHECKSUM), changes + oneLess), CHECKSUM);
}

/**
 * Makes a header without options that of a fragment.
 * @param offset of its payload in the whole, in units of 8 bytes
 * @param more whether others follow
 */
export function setFragment(ip: usize, totalLength: u32, identification: u32, offset: u32, more: bool): void {
  const flagsOffset = (u32(more) << 13) | offset;
  store<u16>(ip, bswap<u16>(<u16>totalLength), TOTAL_LENGTH);
  store<u16>(ip, bswap<u16>(<u16>identification), IDENTIFICATION);
  store<u16>(ip, bswap<u16>(<u16>flagsOffset), FRAGMENT);
  store<u16>(ip, 0, CHECKSUM);
  store<u16>(ip, <u16>checksumOf(sumOf(ip, IPV4_BYTES)), CHECKSUM);
}

/** Whether the sender wants no router to fragment it. */
export function isWhole(ip: usize): bool {
  return (load<u16>(ip, FRAGMENT) & DONT_FRAGMENT) != 0;
}

/**
 * Corrects the checksum for changes of the header.
 * @param changes as replaceSum has them
 * @returns what the change of the checksum itself adds to a sum, as change() does
 */
export function correct(ip: usize, changes: u64): u64 {
  const before: u32 = load<u16>(ip, CHECKSUM);
  const after = replaceSum(before, changes);
  store<u16>(ip, <u16>after, CHECKSUM);
  return changeWord(before, after);
}

/** Replaces the TTL and corrects the checksum. */
export function setTtl(ip: usize, ttl: u32): void {
  const before: u32 = load<u16>(ip, TTL);
  const after = (before & 0xff00) | ttl;
  store<u16>(ip, <u16>after, TTL);
  store<u16>(ip, <u16>replaceWord(load<u16>(ip, CHECKSUM), before, after), CHECKSUM);
}
