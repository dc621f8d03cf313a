// IPv6 header, RFC 8200 §3.
//
//   0                        4         6      7           8             24               40
//   ├ version class label ───┼ length ─┼ next ┼ hop limit ┼ source ─────┼ destination ───┤

import { change, sumOf } from "./checksum";

const VERSION_CLASS: usize = 0;
const PAYLOAD_LENGTH: usize = 4;
const NEXT_HEADER: usize = 6;
const HOP_LIMIT: usize = 7;
export const SOURCE: usize = 8;
export const DESTINATION: usize = 24;

export const IPV6_BYTES: u32 = 40;
/** The unit of extension headers: each has at least so many bytes. */
export const EXTENSION_BYTES: u32 = 8;
export const NEXT_HOP_BY_HOP: u32 = 0;
export const NEXT_ROUTING: u32 = 43;
export const NEXT_FRAGMENT: u32 = 44;
export const NEXT_AUTHENTICATION: u32 = 51;
export const NEXT_ICMPV6: u32 = 58;
export const NEXT_DESTINATION: u32 = 60;
export const NEXT_MOBILITY: u32 = 135;
export const NEXT_HIP: u32 = 139;
export const NEXT_SHIM6: u32 = 140;

// Every getter needs the 40 bytes of the header.

export function version(ip: usize): u32 {
  return load<u8>(ip, VERSION_CLASS) >>> 4;
}
export function trafficClass(ip: usize): u32 {
  return (bswap<u16>(load<u16>(ip, VERSION_CLASS)) >>> 4) & 0xff;
}
/** Bytes after the header. */
export function payloadLength(ip: usize): u32 {
  return bswap<u16>(load<u16>(ip, PAYLOAD_LENGTH));
}
export function nextHeader(ip: usize): u32 {
  return load<u8>(ip, NEXT_HEADER);
}
export function hopLimit(ip: usize): u32 {
  return load<u8>(ip, HOP_LIMIT);
}
export function setHopLimit(ip: usize, limit: u32): void {
  store<u8>(ip, <u8>limit, HOP_LIMIT);
}
/** Halves of the addresses, raw. */
export function source0(ip: usize): u64 {
  return load<u64>(ip, SOURCE);
}
export function source1(ip: usize): u64 {
  return load<u64>(ip, SOURCE + 8);
}
export function destination0(ip: usize): u64 {
  return load<u64>(ip, DESTINATION);
}
export function destination1(ip: usize): u64 {
  return load<u64>(ip, DESTINATION + 8);
}
export function swapAddresses(ip: usize): void {
  const source = v128.load(ip, SOURCE);
  v128.store(ip, v128.load(ip, DESTINATION), SOURCE);
  v128.store(ip, source, DESTINATION);
}
/** Extension headers of the IANA registry that may stand in front of layer 4. */
export function isExtension(next: u32): bool {
  return (
    next == NEXT_HOP_BY_HOP ||
    next == NEXT_ROUTING ||
    next == NEXT_FRAGMENT ||
    next == NEXT_AUTHENTICATION ||
    next == NEXT_DESTINATION ||
    next == NEXT_MOBILITY ||
    next == NEXT_HIP ||
    next == NEXT_SHIM6
  );
}

/** Writes a header with flow label 0. Addresses are given by where their 16 bytes lie. */
export function write(
  ip: usize,
  trafficClass: u32,
  payloadLength: u32,
  next: u32,
  hopLimit: u32,
  source: usize,
  destination: usize,
): void {
  const versionClass: u32 = 0x60 | (trafficClass >>> 4) | ((trafficClass & 15) << 12);
  const lengthNextLimit: u32 = <u32>bswap<u16>(<u16>payloadLength) | (next << 16) | (hopLimit << 24);
  store<u64>(ip, <u64>versionClass | ((<u64>lengthNextLimit) << 32));
  v128.store(ip, v128.load(source), SOURCE);
  v128.store(ip, v128.load(destination), DESTINATION);
}

/** Replaces the last four bytes of the source address; raw. */
export function setSourceEnd(ip: usize, end: u32): void {
  store<u32>(ip, end, SOURCE + 12);
}

/** Bytes of a fragment header, RFC 8200 §4.5. */
export const FRAGMENT_BYTES: u32 = 8;

/**
 * Makes a packet, behind whose header there is room for a fragment header, a fragment of what that header announces.
 * @param length bytes of its payload
 * @param identification raw
 * @param next header of what is fragmented
 * @param offset of its payload in the whole, in units of 8 bytes
 * @param more whether others follow
 */
export function setFragment(
  ip: usize,
  length: u32,
  identification: u32,
  next: u32,
  offset: u32,
  more: bool,
): void {
  store<u16>(ip, bswap<u16>(<u16>(FRAGMENT_BYTES + length)), PAYLOAD_LENGTH);
  store<u8>(ip, <u8>NEXT_FRAGMENT, NEXT_HEADER);
  const place: u32 = bswap<u16>(<u16>((offset << 3) | u32(more)));
  store<u64>(ip, <u64>next | ((<u64>place) << 16) | ((<u64>identification) << 32), IPV6_BYTES);
}

/** Sum of the words of its addresses, for the checksum of a pseudo-header. */
export function sumOfAddresses(ip: usize): u64 {
  return sumOf(ip + SOURCE, 32);
}

/** Where its addresses are, source first, 16 bytes each. */
export function addressesAt(ip: usize): usize {
  return ip + SOURCE;
}

/**
 * Replaces an address.
 * @param at where it is
 * @param address0 first half, raw
 * @returns what it adds to a checksum's sum, as change() does
 */
export function replaceAddress(at: usize, address0: u64, address1: u64): u64 {
  const difference =
    change(load<u32>(at), <u32>address0) +
    change(load<u32>(at, 4), <u32>(address0 >>> 32)) +
    change(load<u32>(at, 8), <u32>address1) +
    change(load<u32>(at, 12), <u32>(address1 >>> 32));
  store<u64>(at, address0);
  store<u64>(at, address1, 8);
  return difference;
}
