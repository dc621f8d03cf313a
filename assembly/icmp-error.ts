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
import { findFlow4, findFlow6 } from "./flow";
import { flowHash4, flowHash6, lineOf, shardOf } from "./hash";
import { lineAt } from "./instance";
import { PACKET_KIND_ICMP_ERROR, TRACK_HIT, TRACK_HIT_AWAY } from "./layout";
import { findQuoted, quotedIp, quotedLayer4, quotedProtocol } from "./quoted";
import { REASON_ICMP_ERROR, REASON_ICMP_UNSUPPORTED, REASON_NO_BACKEND, REASON_NONE } from "./reasons";
import { Packet } from "./records";
import { refuseSource } from "./sources";
import { lookUp } from "./tables";
import * as ipv4 from "./wire/ipv4";
import * as ipv6 from "./wire/ipv6";
import { ports as portsOf } from "./wire/tcp";

/**
 * Parses an ICMP error to a VIP.
 * @param rest bytes of the message, 8 at least
 * @returns REASON_NONE when it quotes a packet of a flow
 */
export function parseIcmpError(packet: Packet, rest: u32): u32 {
  const found = findQuoted(packet, rest);
  if (found == 0) return REASON_ICMP_UNSUPPORTED;
  // The client's packets have source and destination the other way round.
  const ports = rotr(portsOf(quotedLayer4(found)), 16);
  const protocol = quotedProtocol(found);
  const four = packet.family == 4;
  const isFlow = four ? findQuoted4(packet, ports, protocol) : findQuoted6(packet, ports, protocol);
  if (!isFlow) return REASON_ICMP_UNSUPPORTED;
  // It leaves no trace there.
  packet.line = 0;
  packet.tag = found;
  packet.kind = <u8>PACKET_KIND_ICMP_ERROR;
  return REASON_NONE;
}

function findQuoted4(packet: Packet, ports: u32, protocol: u32): bool {
  const quoted = quotedIp(packet);
  const vip = ipv4.source(quoted);
  const client = ipv4.destination(quoted);
  if (vip != ipv4.destination(packet.start + packet.l3)) return false;
  if (!findFlow4(packet, client, vip, ports, protocol)) return false;
  packet.hash = flowHash4(client, vip, ports, protocol);
  return true;
}

function findQuoted6(packet: Packet, ports: u32, protocol: u32): bool {
  const quoted = quotedIp(packet);
  const ip: usize = packet.start + packet.l3;
  const vip0 = ipv6.source0(quoted);
  const vip1 = ipv6.source1(quoted);
  const client0 = ipv6.destination0(quoted);
  const client1 = ipv6.destination1(quoted);
  if (vip0 != ipv6.destination0(ip) || vip1 != ipv6.destination1(ip)) return false;
  if (!findFlow6(packet, client0, client1, vip0, vip1, ports, protocol)) return false;
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
