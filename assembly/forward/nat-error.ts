// ICMP errors under network address translation: the message goes the other way than the packet that it quotes, so where the one has
// its source the other has its destination. Both get the same new address, and the quote the port that belongs to it:
//
//   to the backend   router ─▶ VIP      quotes VIP:port ─▶ client        VIP becomes the backend
//   to the client    router ─▶ client   quotes client ─▶ backend:port    backend becomes the VIP, which is the source, too
//
// (RFC 5508 §4.2, REQ-5: also where the source is a router behind the balancer, whose address may mean nothing to clients.) Every
// checksum that covers what changes is corrected and not computed anew: that of the quoted IPv4 header, the quoted one of
// layer 4 if so much is quoted, the message's own, and over IPv6 for the pseudo header. Nothing is verified besides the outer
// IPv4 header: a wrong one stays wrong, and who gets the message sees it.

import { quotedIp, quotedLayer4, quotedProtocol } from "../quoted";
import { REASON_NO_BACKEND, REASON_NONE, REASON_TTL_EXPIRED } from "../reasons";
import { Backend, Packet, Vip } from "../records";
import { change, changeWord, replaceSum } from "../wire/checksum";
import * as icmp from "../wire/icmp";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import * as tcp from "../wire/tcp";
import * as udp from "../wire/udp";
import { obstacleOf4, readdress4, readdress6 } from "./nat";

/** Makes the backend the destination of an error, and the source of what it quotes. @returns as toBackend() of nat.ts */
export function errorToBackend(packet: Packet, backend: Backend): u32 {
  if (backend.family != <u32>packet.family) return REASON_NO_BACKEND;
  const port: u32 = backend.port == 0 ? packet.ports >>> 16 : <u32>backend.port;
  return packet.family == 4
    ? translate4(packet, ipv4.DESTINATION, ipv4.SOURCE, <u32>backend.address0, 0, port)
    : translate6(packet, ipv6.DESTINATION, ipv6.SOURCE, backend.address0, backend.address1, 0, port);
}

/** Makes the VIP the source of an error, and the destination of what it quotes. @returns as toBackend() of nat.ts */
export function errorToClient(packet: Packet): u32 {
  const vip = changetype<Vip>(packet.vip);
  const port = packet.ports >>> 16;
  return packet.family == 4
    ? translate4(packet, ipv4.SOURCE, ipv4.DESTINATION, <u32>vip.address0, 2, port)
    : translate6(packet, ipv6.SOURCE, ipv6.DESTINATION, vip.address0, vip.address1, 2, port);
}

/**
 * @param outer field of the header that gets the address
 * @param inner that of the quoted header
 * @param side where the quoted port is: 0 or 2
 * @param port raw
 */
function translate4(packet: Packet, outer: usize, inner: usize, address: u32, side: usize, port: u32): u32 {
  const ip: usize = packet.start + packet.l3;
  const obstacle = obstacleOf4(ip);
  if (obstacle != REASON_NONE) return obstacle;
  readdress4(ip, outer, address);

  const quoted = quotedIp(packet);
  const quotedChange = change(load<u32>(quoted + inner), address);
  store<u32>(quoted + inner, address);
  const changes = quotedChange + ipv4.correct(quoted, quotedChange);
  icmp.correct(packet.start + packet.l4, changes + translateQuoted(packet, side, port, quotedChange));
  return REASON_NONE;
}

function translate6(
  packet: Packet,
  outer: usize,
  inner: usize,
  address0: u64,
  address1: u64,
  side: usize,
  port: u32,
): u32 {
  const ip: usize = packet.start + packet.l3;
  if (ipv6.hopLimit(ip) <= 1) return REASON_TTL_EXPIRED;
  const difference = readdress6(ip, outer, address0, address1);

  const quotedChange = ipv6.replaceAddress(quotedIp(packet) + inner, address0, address1);
  const changes = difference + quotedChange;
  icmp.correct(packet.start + packet.l4, changes + translateQuoted(packet, side, port, quotedChange));
  return REASON_NONE;
}

/**
 * Replaces a port of the quoted packet, of which 8 bytes of layer 4 are there at least.
 * @param quotedChange what else changed of what its checksum covers: an address
 * @returns what it adds to the message's sum
 */
function translateQuoted(packet: Packet, side: usize, port: u32, quotedChange: u64): u64 {
  const l4 = quotedLayer4(packet.tag);
  const end = packet.start + packet.l3 + packet.ipLength;
  const portChange = changeWord(load<u16>(l4 + side), port);
  store<u16>(l4 + side, <u16>port);
  if (quotedProtocol(packet.tag) == ipv4.PROTOCOL_UDP) {
    const before = udp.checksum(l4);
    if (before == 0) return portChange;
    udp.setChecksum(l4, replaceSum(before, quotedChange + portChange));
    return portChange + changeWord(before, udp.checksum(l4));
  }
  if (l4 + tcp.CHECKED_BYTES > end) return portChange;
  const before = tcp.checksum(l4);
  tcp.setChecksum(l4, replaceSum(before, quotedChange + portChange));
  return portChange + changeWord(before, tcp.checksum(l4));
}
