// An encapsulated packet that is larger than the egress interface's MTU leaves in fragments of the outer packet (RFC 2003 §5.1,
// RFC 2473 §7; RFC 791 §3.2, RFC 8200 §4.5). The first stays where it is, the others get frames of their own:
//
//   IPv4   ├ Ethernet, tags ┼ outer IP ┼ part of the payload ┤
//   IPv6   ├ Ethernet, tags ┼ outer IP ┼ fragment header ┼ part of the payload ┤

import { hasExtras, takeExtra } from "../extras";
import { shardOf } from "../hash";
import { frames, shardAt } from "../instance";
import { HEADER_SECRET, HEADROOM, SHARD_FRAGMENTED } from "../layout";
import { hasRoom } from "../ports";
import { REASON_NO_FRAME, REASON_NONE, REASON_TOO_BIG, REASON_TX_FULL } from "../reasons";
import { Packet } from "../records";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";

/** Fragments but the last carry a multiple of 8 bytes. */
const UNIT: u32 = 8;

/** Bytes of the headers of a fragment. */
function headerBytes(family: u32): u32 {
  return family == 4 ? ipv4.IPV4_BYTES : ipv6.IPV6_BYTES + ipv6.FRAGMENT_BYTES;
}

/** Bytes of the payload that go into each fragment but the last; 0 when the MTU is too small for any. */
function pieceBytes(family: u32, mtu: u32): u32 {
  const header = headerBytes(family);
  return mtu > header ? (mtu - header) & ~(UNIT - 1) : 0;
}

/**
 * Whether a packet can be sent in fragments: all of them, or none.
 * @param family of the outer packet
 * @param payload bytes behind the outer header
 * @param port by which it leaves
 * @returns REASON_NONE, or why not
 */
export function checkSplit(family: u32, payload: u32, mtu: u32, port: u32): u32 {
  const piece = pieceBytes(family, mtu);
  if (piece == 0) return REASON_TOO_BIG;
  const extras = (payload - 1) / piece;
  if (!hasExtras(extras)) return REASON_NO_FRAME;
  return hasRoom(port, extras) ? REASON_NONE : REASON_TX_FULL;
}

/**
 * Identification of a packet that is sent in fragments: no two of a shard's have the same for as long as the field can tell, and
 * nobody outside knows the next one (RFC 7739). Numbers are the shard's, so that the number of workers never shows.
 */
function nextIdentification(key: u64, shift: u32): u32 {
  const shard = shardOf(key);
  const at = shardAt(shard);
  const number = load<u32>(at, SHARD_FRAGMENTED);
  store<u32>(at, number + 1, SHARD_FRAGMENTED);
  return ((shard << shift) + number) ^ load<u32>(HEADER_SECRET + 24);
}

/** Cuts an encapsulated packet, Ethernet header and all, to pieces for which checkSplit() has found room. */
export function split(packet: Packet, family: u32, mtu: u32): void {
  const l3: u32 = packet.l3;
  const head = l3 + headerBytes(family);
  const piece = pieceBytes(family, mtu);
  const identification = nextIdentification(packet.key, family == 4 ? 8 : 24);
  let next: u32 = 0;
  if (family == 6) {
    // Room for the fragment header.
    const start: usize = packet.start - ipv6.FRAGMENT_BYTES;
    memory.copy(start, packet.start, l3 + ipv6.IPV6_BYTES);
    packet.start = <u32>start;
    packet.length += ipv6.FRAGMENT_BYTES;
    next = ipv6.nextHeader(start + l3);
  }
  const payload = packet.length - head;
  for (let from = piece; from < payload; from += piece) {
    const left = payload - from;
    const bytes = left < piece ? left : piece;
    const extra = takeExtra(packet);
    const start: usize = frames + extra.frame + HEADROOM;
    memory.copy(start, packet.start, head);
    memory.copy(start + head, packet.start + head + from, bytes);
    extra.start = <u32>start;
    extra.length = head + bytes;
    setFragment(start + l3, family, bytes, identification, next, from, left > piece);
  }
  setFragment(packet.start + l3, family, piece, identification, next, 0, true);
  packet.length = head + piece;
}

function setFragment(
  ip: usize,
  family: u32,
  bytes: u32,
  identification: u32,
  next: u32,
  from: u32,
  more: bool,
): void {
  const offset = from / UNIT;
  if (family == 4) ipv4.setFragment(ip, ipv4.IPV4_BYTES + bytes, identification, offset, more);
  else ipv6.setFragment(ip, bytes, bswap<u32>(identification), next, offset, more);
}
