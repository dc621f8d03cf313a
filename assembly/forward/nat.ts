// Network address translation: the VIP's address and port become the backend's on the way there, and the backend's become the
// VIP's on the way back. Checksums are corrected, not computed anew (RFC 1624), so that what was wrong stays wrong and
// the receiver sees it. As with every router, the TTL goes down by one (RFC 1812 §5.3.1, RFC 8200 §3). Of a datagram's fragments only
// the first has ports and a checksum.

import { isLaterFragment6 } from "../extensions";
import { PACKET_KIND_FRAGMENT } from "../layout";
import { REASON_BAD_CHECKSUM, REASON_NO_BACKEND, REASON_NONE, REASON_TTL_EXPIRED } from "../reasons";
import { Backend, Packet, Vip } from "../records";
import { change, changeWord, replaceSum } from "../wire/checksum";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import * as tcp from "../wire/tcp";
import * as udp from "../wire/udp";

/** Makes the backend the destination. @returns REASON_NONE, or why it cannot be done; the packet is unchanged then */
export function toBackend(packet: Packet, backend: Backend): u32 {
  // A flow may have an entry from when its VIP was forwarded in another way.
  if (backend.family != <u32>packet.family) return REASON_NO_BACKEND;
  const at: usize = packet.start + packet.l4 + 2;
  const port: u32 = backend.port == 0 ? packet.ports >>> 16 : <u32>backend.port;
  return packet.family == 4
    ? translate4(packet, ipv4.DESTINATION, <u32>backend.address0, at, port)
    : translate6(packet, ipv6.DESTINATION, backend.address0, backend.address1, at, port);
}

/** Makes the VIP the source. @returns as toBackend() */
export function toClient(packet: Packet): u32 {
  const vip = changetype<Vip>(packet.vip);
  const at: usize = packet.start + packet.l4;
  const port = packet.ports >>> 16;
  return packet.family == 4
    ? translate4(packet, ipv4.SOURCE, <u32>vip.address0, at, port)
    : translate6(packet, ipv6.SOURCE, vip.address0, vip.address1, at, port);
}

/** Why a header cannot be rewritten, as a router sees it; REASON_NONE when it can. */
export function obstacleOf4(ip: usize): u32 {
  if (ipv4.ttl(ip) <= 1) return REASON_TTL_EXPIRED;
  return ipv4.isIntact(ip) ? REASON_NONE : REASON_BAD_CHECKSUM;
}

/** Replaces an address of a header and takes one off its TTL. @returns what the address adds to a sum, as change() does */
export function readdress4(ip: usize, field: usize, address: u32): u64 {
  const difference = change(load<u32>(ip + field), address);
  store<u32>(ip + field, address);
  ipv4.forwardTtl(ip, difference);
  return difference;
}

/** As readdress4(), with the hop limit. */
export function readdress6(ip: usize, field: usize, address0: u64, address1: u64): u64 {
  ipv6.setHopLimit(ip, ipv6.hopLimit(ip) - 1);
  return ipv6.replaceAddress(ip + field, address0, address1);
}

/** @param field of the header that gets the address @param portAt where the port is @param port raw */
function translate4(packet: Packet, field: usize, address: u32, portAt: usize, port: u32): u32 {
  const ip: usize = packet.start + packet.l3;
  const obstacle = obstacleOf4(ip);
  if (obstacle != REASON_NONE) return obstacle;
  translatePort(packet, portAt, port, readdress4(ip, field, address));
  return REASON_NONE;
}

function translate6(
  packet: Packet,
  field: usize,
  address0: u64,
  address1: u64,
  portAt: usize,
  port: u32,
): u32 {
  const ip: usize = packet.start + packet.l3;
  if (ipv6.hopLimit(ip) <= 1) return REASON_TTL_EXPIRED;
  translatePort(packet, portAt, port, readdress6(ip, field, address0, address1));
  return REASON_NONE;
}

/** Whether a packet has data where others have the header of layer 4: a fragment other than the first. */
function isHeadless(packet: Packet): bool {
  if ((packet.kind & PACKET_KIND_FRAGMENT) == 0) return false;
  if (packet.family == 4) return ipv4.isLaterFragment(packet.start + packet.l3);
  return isLaterFragment6(packet.start + packet.l4 - ipv6.EXTENSION_BYTES);
}

/** @param difference what else changed of what the checksum covers: an address of the pseudo header */
function translatePort(packet: Packet, at: usize, port: u32, difference: u64): void {
  if (isHeadless(packet)) return;
  const l4: usize = packet.start + packet.l4;
  const all = difference + changeWord(load<u16>(at), port);
  store<u16>(at, <u16>port);
  if (packet.protocol == ipv4.PROTOCOL_TCP) tcp.setChecksum(l4, replaceSum(tcp.checksum(l4), all));
  else if (udp.checksum(l4) != 0) udp.setChecksum(l4, replaceSum(udp.checksum(l4), all));
}
