// Phase 1: from bytes to a flow. The rules and their order are docs/datapath.md §1; the XDP program
// (native/bpf) applies the same ones when it decides what reaches the engine at all.
//
// Nothing is read before its length is known, and nothing beyond the packet's own end.
//
// inline.always stands where a call would cost more than what it does: docs/performance.md, "Work on the data plane".

import { WALK_REFUSED, WALK_TRUNCATED, walk } from "./extensions";
import { belongTo, findFlow4, findFlow6 } from "./flow";
import { parseFragment4, parseFragment6 } from "./fragments";
import { parseIcmpError } from "./icmp-error";
import { MAX_LAYER4_OFFSET, VIP_FLAG_ECHO } from "./layout";
import {
  REASON_BAD_HEADER,
  REASON_BAD_LENGTH,
  REASON_ECHO,
  REASON_EXTENSION_HEADER,
  REASON_ICMP_UNSUPPORTED,
  REASON_NONE,
  REASON_NOT_IP,
  REASON_NOT_VIP,
  REASON_TRUNCATED,
  REASON_TTL_EXPIRED,
} from "./reasons";
import { Packet, Vip } from "./records";
import { parseReturn, parseReturnedError } from "./returns";
import { findService, hasReturns, tailOf } from "./services";
import * as ethernet from "./wire/ethernet";
import * as icmp from "./wire/icmp";
import * as ipv4 from "./wire/ipv4";
import * as ipv6 from "./wire/ipv6";
import * as tcp from "./wire/tcp";
import * as udp from "./wire/udp";
import * as vlan from "./wire/vlan";

/** Fills in a packet whose start and length are known. @returns REASON_NONE for a flow of a VIP */
export function parse(packet: Packet): u32 {
  const frame: usize = packet.start;
  const length = packet.length;
  if (length < ethernet.ETHERNET_BYTES) return REASON_TRUNCATED;
  let l3 = ethernet.ETHERNET_BYTES;
  let type = ethernet.etherType(frame);
  if (type != ethernet.ETHERTYPE_IPV4 && vlan.isTag(type)) {
    const deepest = ethernet.ETHERNET_BYTES + vlan.VLAN_DEPTH * vlan.VLAN_BYTES;
    do {
      l3 += vlan.VLAN_BYTES;
      if (length < l3) return REASON_TRUNCATED;
      type = ethernet.etherType(frame + l3 - ethernet.ETHERNET_BYTES);
    } while (l3 < deepest && vlan.isTag(type));
  }
  packet.l3 = <u8>l3;
  if (type == ethernet.ETHERTYPE_IPV4) return inline.always(parseIpv4(packet, l3, frame + l3, length - l3));
  if (type == ethernet.ETHERTYPE_IPV6) return inline.always(parseIpv6(packet, l3, frame + l3, length - l3));
  return REASON_NOT_IP;
}

/** @param room bytes of the frame from the IP header on */
function parseIpv4(packet: Packet, l3: u32, ip: usize, room: u32): u32 {
  if (room < ipv4.IPV4_BYTES) return REASON_TRUNCATED;
  let header = ipv4.IPV4_BYTES;
  if (!ipv4.isPlain(ip)) {
    header = ipv4.headerBytes(ip);
    if (ipv4.version(ip) != 4 || header < ipv4.IPV4_BYTES) return REASON_BAD_HEADER;
    if (room < header) return REASON_TRUNCATED;
  }
  const total = ipv4.totalLength(ip);
  const rest = total - header;
  // A total below the header's length wraps round.
  if (rest > room - header) return REASON_BAD_LENGTH;
  if (ipv4.ttl(ip) == 0) return REASON_TTL_EXPIRED;
  const protocol = ipv4.protocol(ip);
  packet.family = 4;
  packet.protocol = <u8>protocol;
  packet.ipLength = <u16>total;
  packet.l4 = <u8>(l3 + header);
  const destination: u64 = ipv4.destination(ip);
  const l4 = ip + header;
  if (ipv4.isFragment(ip)) return parseFragment4(packet, ip, l4, rest);
  let ports: u32 = 0;
  if (protocol == ipv4.PROTOCOL_TCP) {
    const reason = parseTcp(packet, l4, rest);
    if (reason != REASON_NONE) return reason;
    ports = tcp.ports(l4);
  } else if (protocol == ipv4.PROTOCOL_UDP) {
    const reason = parseUdp(l4, rest);
    if (reason != REASON_NONE) return reason;
    ports = udp.ports(l4);
  } else if (protocol == ipv4.PROTOCOL_ICMP) {
    return parseIcmp(packet, l4, rest, destination, 0, ipv4.PROTOCOL_ICMP, icmp.ECHO_REQUEST_V4);
  } else {
    return REASON_NOT_VIP;
  }
  if (inline.always(findFlow4(packet, ipv4.source(ip), destination, ports, protocol))) return REASON_NONE;
  return hasReturns() ? parseReturn(packet, ports) : REASON_NOT_VIP;
}

/** @param room bytes of the frame from the IP header on */
function parseIpv6(packet: Packet, l3: u32, ip: usize, room: u32): u32 {
  if (room < ipv6.IPV6_BYTES) return REASON_TRUNCATED;
  if (ipv6.version(ip) != 6) return REASON_BAD_HEADER;
  const rest = ipv6.payloadLength(ip);
  if (room - ipv6.IPV6_BYTES < rest) return REASON_BAD_LENGTH;
  if (ipv6.hopLimit(ip) == 0) return REASON_TTL_EXPIRED;
  const protocol = ipv6.nextHeader(ip);
  packet.family = 6;
  packet.protocol = <u8>protocol;
  packet.ipLength = <u16>(ipv6.IPV6_BYTES + rest);
  packet.l4 = <u8>(l3 + ipv6.IPV6_BYTES);
  const destination0 = ipv6.destination0(ip);
  const destination1 = ipv6.destination1(ip);
  const l4 = ip + ipv6.IPV6_BYTES;
  let ports: u32 = 0;
  if (protocol == ipv4.PROTOCOL_TCP) {
    const reason = parseTcp(packet, l4, rest);
    if (reason != REASON_NONE) return reason;
    ports = tcp.ports(l4);
  } else if (protocol == ipv4.PROTOCOL_UDP) {
    const reason = parseUdp(l4, rest);
    if (reason != REASON_NONE) return reason;
    ports = udp.ports(l4);
  } else if (protocol == ipv6.NEXT_ICMPV6) {
    return parseIcmp(packet, l4, rest, destination0, destination1, ipv6.NEXT_ICMPV6, icmp.ECHO_REQUEST_V6);
  } else if (ipv6.isExtension(protocol)) {
    return parseExtended(packet, ip, rest);
  } else {
    return REASON_NOT_VIP;
  }
  return inline.always(parseFlow6(packet, ip, ports, protocol));
}

/** The flow of an IPv6 packet with ports. */
function parseFlow6(packet: Packet, ip: usize, ports: u32, protocol: u32): u32 {
  const source0 = ipv6.source0(ip);
  const source1 = ipv6.source1(ip);
  const destination0 = ipv6.destination0(ip);
  const destination1 = ipv6.destination1(ip);
  if (inline.always(findFlow6(packet, source0, source1, destination0, destination1, ports, protocol)))
    return REASON_NONE;
  return hasReturns() ? parseReturn(packet, ports) : REASON_NOT_VIP;
}

/**
 * An IPv6 packet with extension headers. Exported by the module, so that the compiler does not put it into the middle of the
 * pipeline.
 * @param rest bytes behind the IPv6 header
 */
export function parseExtended(packet: Packet, ip: usize, rest: u32): u32 {
  const after = packet.l4;
  const walked = walk(ip + ipv6.IPV6_BYTES, packet.protocol, rest, MAX_LAYER4_OFFSET - after);
  if (walked == WALK_TRUNCATED) return REASON_TRUNCATED;
  const address0 = ipv6.destination0(ip);
  const address1 = ipv6.destination1(ip);
  if (walked == WALK_REFUSED) {
    return addressRule(packet, address0, address1, ipv6.NEXT_ICMPV6, REASON_EXTENSION_HEADER);
  }
  const bytes = walked & 0xff;
  const protocol = walked >>> 8;
  packet.protocol = <u8>protocol;
  packet.l4 = <u8>(after + bytes);
  const l4 = ip + ipv6.IPV6_BYTES + bytes;
  const room = rest - bytes;
  if (protocol == ipv6.NEXT_FRAGMENT) return parseFragment6(packet, ip, l4, room);
  if (protocol == ipv6.NEXT_ICMPV6) {
    return parseIcmp(packet, l4, room, address0, address1, ipv6.NEXT_ICMPV6, icmp.ECHO_REQUEST_V6);
  }
  if (protocol == ipv4.PROTOCOL_TCP) {
    const reason = parseTcp(packet, l4, room);
    if (reason != REASON_NONE) return reason;
  } else if (protocol == ipv4.PROTOCOL_UDP) {
    const reason = parseUdp(l4, room);
    if (reason != REASON_NONE) return reason;
  } else {
    return REASON_NOT_VIP;
  }
  return parseFlow6(packet, ip, tcp.ports(l4), protocol);
}

function parseTcp(packet: Packet, l4: usize, rest: u32): u32 {
  if (rest < tcp.TCP_BYTES) return REASON_TRUNCATED;
  const header = tcp.headerBytes(l4);
  // A header below the fixed part's length wraps round.
  if (header - tcp.TCP_BYTES > rest - tcp.TCP_BYTES) return REASON_BAD_HEADER;
  packet.tcpFlags = <u8>tcp.flags(l4);
  return REASON_NONE;
}

function parseUdp(l4: usize, rest: u32): u32 {
  if (rest < udp.UDP_BYTES) return REASON_TRUNCATED;
  const length = udp.length(l4);
  return length < udp.UDP_BYTES || rest < length ? REASON_BAD_LENGTH : REASON_NONE;
}

function parseIcmp(
  packet: Packet,
  l4: usize,
  rest: u32,
  address0: u64,
  address1: u64,
  protocol: u32,
  request: u32,
): u32 {
  const service = findService(address0, address1, tailOf(0, protocol, packet.family));
  if (service == 0) return hasReturns() ? parseReturnedError(packet, l4, rest) : REASON_NOT_VIP;
  belongTo(packet, service);
  if (rest < icmp.ICMP_BYTES) return REASON_TRUNCATED;
  const typeCode = icmp.typeCode(l4);
  const answers = (changetype<Vip>(packet.vip).flags & VIP_FLAG_ECHO) != 0;
  if (answers && typeCode == request) return REASON_ECHO;
  const type = typeCode & 0xff;
  const isError = packet.family == 4 ? icmp.isError4(type) : icmp.isError6(type);
  return isError ? parseIcmpError(packet, rest) : REASON_ICMP_UNSUPPORTED;
}

/** What cannot be told by its ports is dropped if it goes to an address of ours, and left alone if not. */
export function addressRule(packet: Packet, address0: u64, address1: u64, protocol: u32, reason: u32): u32 {
  const service = findService(address0, address1, tailOf(0, protocol, packet.family));
  if (service == 0) return REASON_NOT_VIP;
  belongTo(packet, service);
  return reason;
}
