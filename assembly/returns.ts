// Answers of backends on their way back to clients (`forward: nat`). They are told by where they come from: an address and
// port from which a backend answers for a service (SERVICE_RETURN of the services block). Nothing is remembered for that, and a
// return never makes an entry; it has the key of the client's packets, so that it belongs to the same worker and
// refreshes or closes the flow's entry.
//
//   client's packet   client:port ─▶ VIP:port       key = source, source port, service
//   return            backend:port ─▶ client:port   key = destination, destination port, the same service
//
// What a router or the backend has to say about a packet of the client's goes the same way, and is told by what it quotes:
//
//   ICMP error        router ─▶ client            quotes client:port ─▶ backend:port
//
// It has the same key, but neither asks nor changes the flow's entry, so that any worker may treat it.
//
// Returns are looked for only when a packet is for no service, and only when some VIP has the mode.

import { followReturn as followEntry, matchAway, matchHome } from "./conntrack";
import { setKey } from "./flow";
import { flowKey4, flowKey6 } from "./hash";
import {
  PACKET_KIND_ICMP_ERROR,
  PACKET_KIND_RETURN,
  SERVICE_BACKEND,
  SERVICE_NUMBER,
  SERVICE_OWN,
  SERVICE_RETURN,
  SERVICE_SENDER,
  SERVICE_VIP,
  SERVICE_VIP_PORT,
  TRACK_HIT,
  TRACK_HIT_AWAY,
} from "./layout";
import { findQuoted, quotedIp, quotedLayer4, quotedProtocol } from "./quoted";
import { REASON_NONE, REASON_NOT_VIP, REASON_PROBE, REASON_RETURN } from "./reasons";
import { Packet } from "./records";
import { findSlot, serviceNumber, tailOf, vipOf } from "./services";
import * as icmp from "./wire/icmp";
import * as ipv4 from "./wire/ipv4";
import * as ipv6 from "./wire/ipv6";
import { ports as portsOf } from "./wire/tcp";

/** Whether returns were found since takeReturning(). */
let returning: bool = false;

/** Whether some packet of the batch is a return; of the last batch too, when that was given up. */
export function takeReturning(): bool {
  const was = returning;
  returning = false;
  return was;
}

/**
 * Looks whether a packet that is for no service comes from a backend that answers for one. Exported by the module, so that
 * the compiler does not put it into the middle of parse().
 * @param ports as tcp.ports gives them, of a whole TCP or UDP header
 * @returns REASON_NONE for a return, which has its key and line then; REASON_PROBE for an answer to a check; else REASON_NOT_VIP
 */
export function parseReturn(packet: Packet, ports: u32): u32 {
  const ip: usize = packet.start + packet.l3;
  const tail = tailOf(ports & 0xffff, packet.protocol, packet.family | SERVICE_RETURN);
  const four = packet.family == 4;
  const source0 = four ? <u64>ipv4.source(ip) : ipv6.source0(ip);
  const source1 = four ? 0 : ipv6.source1(ip);
  const slot = findSlot(source0, source1, tail);
  if (slot == 0) return REASON_NOT_VIP;
  packet.kind = <u8>PACKET_KIND_RETURN;
  const reason = belongToOrigin(packet, slot, ports >>> 16);
  returning = returning || reason == REASON_NONE;
  return reason;
}

/**
 * Looks whether an ICMP message that is for no VIP is an error about a packet that was translated on its way to a backend. As
 * parseReturn(), beside the way of other packets.
 * @param l4 address of the message @param rest bytes of it
 * @returns REASON_RETURN when it is; REASON_PROBE when the packet was a check; else REASON_NOT_VIP
 */
export function parseReturnedError(packet: Packet, l4: usize, rest: u32): u32 {
  const four = packet.family == 4;
  if (rest < icmp.ICMP_BYTES) return REASON_NOT_VIP;
  const type = icmp.typeCode(l4) & 0xff;
  if (!(four ? icmp.isError4(type) : icmp.isError6(type))) return REASON_NOT_VIP;
  const found = findQuoted(packet, rest);
  if (found == 0) return REASON_NOT_VIP;
  const ip: usize = packet.start + packet.l3;
  const quoted = quotedIp(packet);
  const isAboutClient = four
    ? ipv4.source(quoted) == ipv4.destination(ip)
    : ipv6.source0(quoted) == ipv6.destination0(ip) && ipv6.source1(quoted) == ipv6.destination1(ip);
  if (!isAboutClient) return REASON_NOT_VIP;
  const ports = portsOf(quotedLayer4(found));
  const tail = tailOf(ports >>> 16, quotedProtocol(found), packet.family | SERVICE_RETURN);
  const slot = four
    ? findSlot(ipv4.destination(quoted), 0, tail)
    : findSlot(ipv6.destination0(quoted), ipv6.destination1(quoted), tail);
  if (slot == 0) return REASON_NOT_VIP;
  packet.kind = <u8>(PACKET_KIND_RETURN | PACKET_KIND_ICMP_ERROR);
  packet.tag = found;
  const reason = belongToOrigin(packet, slot, ports & 0xffff);
  return reason == REASON_NONE ? REASON_RETURN : reason;
}

/**
 * Gives a packet the flow of an origin and of the client that is its destination.
 * @param slot of the origin @param clientPort raw
 * @returns REASON_NONE; for an address of the machine REASON_PROBE at a port for checks, else REASON_NOT_VIP
 */
function belongToOrigin(packet: Packet, slot: usize, clientPort: u32): u32 {
  const ip: usize = packet.start + packet.l3;
  const four = packet.family == 4;
  const client0 = four ? <u64>ipv4.destination(ip) : ipv6.destination0(ip);
  const client1 = four ? 0 : ipv6.destination1(ip);
  const own = findSlot(client0, client1, tailOf(0, 0, packet.family | SERVICE_OWN));
  if (own != 0 && !isForCheck(own, clientPort)) return REASON_NOT_VIP;
  const number = serviceNumber(slot);
  packet.service = <u16>number;
  packet.vip = vipOf(slot);
  packet.backend = load<u16>(slot, SERVICE_BACKEND);
  packet.ports = clientPort | ((<u32>load<u16>(slot, SERVICE_VIP_PORT)) << 16);
  const key = four
    ? flowKey4(<u32>client0, clientPort, number, 0)
    : flowKey6(client0, client1, clientPort, number, 0);
  setKey(packet, key);
  return own == 0 ? REASON_NONE : REASON_PROBE;
}

/** Whether a backend that answers sends a packet by its protocol, and not to the machine itself. */
export function isSender(packet: Packet): bool {
  const ip: usize = packet.start + packet.l3;
  const family: u32 = packet.family;
  const tail = tailOf(0, packet.protocol, family | SERVICE_SENDER);
  const own = tailOf(0, 0, family | SERVICE_OWN);
  return family == 4
    ? findSlot(ipv4.source(ip), 0, tail) != 0 && findSlot(ipv4.destination(ip), 0, own) == 0
    : findSlot(ipv6.source0(ip), ipv6.source1(ip), tail) != 0 &&
        findSlot(ipv6.destination0(ip), ipv6.destination1(ip), own) == 0;
}

/** Whether a port of the machine's, raw, is one of checks through the data plane: an answer there belongs to no flow of a client. */
function isForCheck(own: usize, port: u32): bool {
  const first: u32 = load<u16>(own, SERVICE_NUMBER);
  const count: u32 = load<u16>(own, SERVICE_VIP);
  return <u32>bswap<u16>(<u16>port) - first < count;
}

/** Follows the entry of the flow that a return belongs to, if there is one of this backend; it is translated in any case. */
export function followReturn(packet: Packet): void {
  packet.reason = <u8>REASON_RETURN;
  const backend: u32 = packet.backend;
  const flags: u32 = packet.tcpFlags;
  if (followEntry(matchHome(packet.line, packet.key), flags, backend)) packet.track = <u8>TRACK_HIT;
  else if (followEntry(matchAway(packet.line, packet.key), flags, backend)) packet.track = <u8>TRACK_HIT_AWAY;
}
