// ICMP errors about packets of a flow: what a router or a client says about a packet that a backend sent. The message goes to a
// VIP and quotes the packet that it is about (RFC 792, RFC 4443 §2.4(c)), whose source is the VIP and whose destination is the
// client:
//
//   ├ IP: router > VIP ┼ ICMP, 8 bytes ┼ IP: VIP > client ┼ TCP or UDP: 8 bytes at least ┤ …
//
// Its flow is the quoted one turned round. It goes where the flow's packets go, and leaves no trace in the connection table.
//
//   parse      the quoted headers: service, ports, key and hash
//   deliver    in the order of the batch: the flow's entry, or the lookup table
//
// Rare, so it is beside the way of other packets: both functions are exported by the module, so that the compiler does not
// put them into the middle of the pipeline.

import { backendOf, isLive, lineOfEntry, matchAway, matchHome } from "./conntrack";
import { isLaterFragment6, WALK_TRUNCATED, walk } from "./extensions";
import { flowHash4, flowHash6, flowKey4, flowKey6, foldDestination, lineOf, shardOf } from "./hash";
import { lineAt } from "./instance";
import { PACKET_KIND_ICMP_ERROR, TRACK_HIT, TRACK_HIT_AWAY } from "./layout";
import { belongTo } from "./parse";
import { REASON_ICMP_ERROR, REASON_ICMP_UNSUPPORTED, REASON_NO_BACKEND, REASON_NONE } from "./reasons";
import { Packet } from "./records";
import { findService, isWide, tailOf } from "./services";
import { refuseSource } from "./sources";
import { lookUp } from "./tables";
import { ICMP_BYTES } from "./wire/icmp";
import * as ipv4 from "./wire/ipv4";
import * as ipv6 from "./wire/ipv6";
import { ports as portsOf } from "./wire/tcp";

/** What is quoted of layer 4 at least: RFC 792. */
const QUOTED_BYTES: u32 = 8;
/** Bytes of extension headers that are walked in a quoted packet. */
const MOST_WALKED: u32 = 255;

/**
 * Parses an ICMP error to a VIP.
 * @param rest bytes of the message, 8 at least
 * @returns REASON_NONE when it quotes a packet of a flow
 */
export function parseIcmpError(packet: Packet, l4: usize, rest: u32): u32 {
  const ip: usize = packet.start + packet.l3;
  const quoted = l4 + ICMP_BYTES;
  const room = rest - ICMP_BYTES;
  const isFlow =
    packet.family == 4 ? parseQuoted4(packet, ip, quoted, room) : parseQuoted6(packet, ip, quoted, room);
  if (!isFlow) return REASON_ICMP_UNSUPPORTED;
  packet.kind = <u8>PACKET_KIND_ICMP_ERROR;
  return REASON_NONE;
}

function hasPorts(protocol: u32): bool {
  return protocol == ipv4.PROTOCOL_TCP || protocol == ipv4.PROTOCOL_UDP;
}

function parseQuoted4(packet: Packet, ip: usize, quoted: usize, room: u32): bool {
  if (room < ipv4.IPV4_BYTES || ipv4.version(quoted) != 4) return false;
  const header = ipv4.headerBytes(quoted);
  if (header < ipv4.IPV4_BYTES || room < header + QUOTED_BYTES) return false;
  const protocol = ipv4.protocol(quoted);
  const vip = ipv4.source(quoted);
  if (!hasPorts(protocol) || ipv4.isLaterFragment(quoted) || vip != ipv4.destination(ip)) return false;
  const ports = rotr(portsOf(quoted + header), 16);
  const service = findService(vip, 0, tailOf(ports >>> 16, protocol, 4));
  if (service == 0) return false;
  const client = ipv4.destination(quoted);
  const target = isWide(service) ? foldDestination(vip, 0, ports >>> 16) : 0;
  packet.ports = ports;
  packet.key = flowKey4(client, ports & 0xffff, belongTo(packet, service), target);
  packet.hash = flowHash4(client, vip, ports, protocol);
  return true;
}

function parseQuoted6(packet: Packet, ip: usize, quoted: usize, room: u32): bool {
  if (room < ipv6.IPV6_BYTES || ipv6.version(quoted) != 6) return false;
  const vip0 = ipv6.source0(quoted);
  const vip1 = ipv6.source1(quoted);
  if (vip0 != ipv6.destination0(ip) || vip1 != ipv6.destination1(ip)) return false;
  const behind = quoted + ipv6.IPV6_BYTES;
  const left = room - ipv6.IPV6_BYTES;
  const walked = walk(behind, ipv6.nextHeader(quoted), left, MOST_WALKED);
  if (walked >= WALK_TRUNCATED) return false;
  let bytes = walked & 0xff;
  let protocol = walked >>> 8;
  if (protocol == ipv6.NEXT_FRAGMENT) {
    // The walk has seen that the header is there.
    if (isLaterFragment6(behind + bytes)) return false;
    protocol = load<u8>(behind + bytes);
    bytes += ipv6.EXTENSION_BYTES;
  }
  if (!hasPorts(protocol) || left < bytes + QUOTED_BYTES) return false;
  const ports = rotr(portsOf(behind + bytes), 16);
  const service = findService(vip0, vip1, tailOf(ports >>> 16, protocol, 6));
  if (service == 0) return false;
  const client0 = ipv6.destination0(quoted);
  const client1 = ipv6.destination1(quoted);
  const target = isWide(service) ? foldDestination(vip0, vip1, ports >>> 16) : 0;
  packet.ports = ports;
  packet.key = flowKey6(client0, client1, ports & 0xffff, belongTo(packet, service), target);
  packet.hash = flowHash6(client0, client1, vip0, vip1, ports, protocol);
  return true;
}

/** The live entry of a key, or 0: found, but not followed. */
function find(line: usize, key: u64): usize {
  const home = matchHome(line, key);
  if (home != 0 && isLive(home, 0)) return home;
  const away = matchAway(line, key);
  return away != 0 && isLive(away, 0) ? away : 0;
}

/** Chooses the backend: the flow's, or what the lookup table would give it. */
export function deliverIcmpError(packet: Packet): void {
  if (refuseSource(packet)) return;
  const key = packet.key;
  const line = lineAt(shardOf(key), lineOf(key));
  const entry = find(line, key);
  packet.line = <u32>line;
  if (entry != 0) {
    packet.backend = <u16>backendOf(entry);
    packet.track = <u8>(lineOfEntry(entry) == line ? TRACK_HIT : TRACK_HIT_AWAY);
  } else {
    lookUp(packet);
  }
  packet.reason = <u8>(packet.backend == 0 ? REASON_NO_BACKEND : REASON_ICMP_ERROR);
}
