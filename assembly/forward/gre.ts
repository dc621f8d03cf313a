// GRE (RFC 2784) over IPv4 or IPv6, chosen by the backend's address; what is inside may be of either family.
//
//   before            ├ Ethernet, tags ┼ packet ────────┤ padding
//   after  ├ Ethernet, tags ┼ outer IP ┼ GRE ┼ packet ──┤

import { frames } from "../instance";
import { HEADER_SOURCE_V4, HEADER_SOURCE_V6 } from "../layout";
import { REASON_NONE, REASON_TOO_BIG } from "../reasons";
import { Backend, Packet, Vip } from "../records";
import * as ethernet from "../wire/ethernet";
import * as gre from "../wire/gre";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";

/** Bytes that a packet grows by. */
const OVER_IPV4_BYTES: u32 = ipv4.IPV4_BYTES + gre.GRE_BYTES;
const OVER_IPV6_BYTES: u32 = ipv6.IPV6_BYTES + gre.GRE_BYTES;

/** Moves the VLAN tags (0, 4 or 8 bytes, with the type before them) to the front; the MAC addresses are written later. */
function moveTags(from: usize, to: usize, l3: u32): void {
  if (l3 == ethernet.ETHERNET_BYTES) return;
  const tags = load<u64>(from, 12);
  store<u64>(to, tags, 12);
}

/** Makes room for an outer header of `bytes`, GRE included, and writes the GRE header. @returns where the outer header goes */
function open(packet: Packet, bytes: u32): usize {
  const before: usize = packet.start;
  const start = before - bytes;
  const l3: u32 = packet.l3;
  moveTags(before, start, l3);
  gre.write(before + l3 - gre.GRE_BYTES);
  packet.start = <u32>start;
  packet.length = l3 + bytes + packet.ipLength;
  return start + l3;
}

/** The inner packet's traffic class, which the outer header takes over. */
function trafficClassOf(packet: Packet, inner: usize): u32 {
  return packet.family == 4 ? ipv4.tos(inner) : ipv6.trafficClass(inner);
}

/** Whether the outer packet is small enough and its headers fit in front of the inner one. */
function fits(packet: Packet, bytes: u32, mtu: u32): bool {
  return packet.ipLength + bytes <= mtu && packet.start - packet.frame >= <u32>frames + bytes;
}

function overIpv4(packet: Packet, ttl: u32, backend: Backend): void {
  const outer = open(packet, OVER_IPV4_BYTES);
  const trafficClass = trafficClassOf(packet, outer + OVER_IPV4_BYTES);
  const length = OVER_IPV4_BYTES + packet.ipLength;
  const source = load<u32>(HEADER_SOURCE_V4);
  ipv4.write(outer, trafficClass, length, ttl, ipv4.PROTOCOL_GRE, source, <u32>backend.address0);
  ethernet.setInnerType(outer, ethernet.ETHERTYPE_IPV4);
}

function overIpv6(packet: Packet, ttl: u32, backend: Backend): void {
  const outer = open(packet, OVER_IPV6_BYTES);
  const trafficClass = trafficClassOf(packet, outer + OVER_IPV6_BYTES);
  const length = gre.GRE_BYTES + packet.ipLength;
  const destination = changetype<usize>(backend) + offsetof<Backend>("address0");
  ipv6.write(outer, trafficClass, length, ipv4.PROTOCOL_GRE, ttl, HEADER_SOURCE_V6, destination);
  ethernet.setInnerType(outer, ethernet.ETHERTYPE_IPV6);
}

/**
 * Encapsulates in front of the packet; start and length move.
 * @param mtu most bytes of the outer packet
 * @returns REASON_NONE, or why it cannot be done
 */
export function forwardGre(packet: Packet, vip: Vip, backend: Backend, mtu: u32): u32 {
  if (backend.family == 4) {
    if (!fits(packet, OVER_IPV4_BYTES, mtu)) return REASON_TOO_BIG;
    overIpv4(packet, vip.ttl, backend);
  } else {
    if (!fits(packet, OVER_IPV6_BYTES, mtu)) return REASON_TOO_BIG;
    overIpv6(packet, vip.ttl, backend);
  }
  return REASON_NONE;
}
