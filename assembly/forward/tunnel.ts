// Tunnels over IPv4 or IPv6, chosen by the backend's address; what is inside may be of either family.
//
//   before            ├ Ethernet, tags ┼ packet ─────────┤ padding
//   after  ├ Ethernet, tags ┼ outer IP ┼ shim ┼ packet ──┤
//
//   mode   shim                                                       outer protocol
//   gre    GRE (RFC 2784), 4 bytes                                    47
//   ipip   none (RFC 2003, RFC 2473, RFC 4213)                        4 or 41, by what is inside
//   gue    UDP, 8 bytes (GUE variant 1, draft-ietf-intarea-gue §4)    17
//
// `mode` is a constant where these functions are called, and each mode gets code of its own.

import { frames } from "../instance";
import {
  FORWARD_GRE,
  FORWARD_GUE,
  FORWARD_IPIP,
  VIP_GUE_PORT,
  VIP_SOURCE_V4,
  VIP_SOURCE_V4_BITS,
  VIP_SOURCE_V6,
  VIP_SOURCE_V6_BITS,
} from "../layout";
import { REASON_NONE, REASON_TOO_BIG } from "../reasons";
import { Backend, Packet, Vip } from "../records";
import * as ethernet from "../wire/ethernet";
import * as gre from "../wire/gre";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import * as udp from "../wire/udp";

/** Source ports of GUE: the dynamic ones (RFC 6335 §6), 14 bits of a flow's entropy. */
const GUE_SOURCE: u32 = 0xc000;
const GUE_SOURCE_BITS: u32 = 0x3fff;

/** Bytes between the outer header and the packet. */
function shimBytes(mode: u32): u32 {
  return mode == FORWARD_GRE ? gre.GRE_BYTES : mode == FORWARD_GUE ? udp.UDP_BYTES : 0;
}

/** Bytes of the outer header. */
export function outerBytes(family: u32): u32 {
  return family == 4 ? ipv4.IPV4_BYTES : ipv6.IPV6_BYTES;
}

/** Bytes that a packet grows by on the way to a backend of a family. */
export function overhead(mode: u32, family: u32): u32 {
  return outerBytes(family) + shimBytes(mode);
}

function protocolOf(packet: Packet, mode: u32): u32 {
  if (mode == FORWARD_GRE) return ipv4.PROTOCOL_GRE;
  if (mode == FORWARD_GUE) return ipv4.PROTOCOL_UDP;
  return packet.family == 4 ? ipv4.PROTOCOL_IPV4 : ipv4.PROTOCOL_IPV6;
}

/** What outer headers say about a flow, so that whoever receives them can spread flows: 16 bits of its key, and never more. */
function entropyOf(packet: Packet): u32 {
  return <u32>(packet.key >>> 48);
}

/** Moves the VLAN tags (0, 4 or 8 bytes, with the type before them) to the front; the MAC addresses are written later. */
function moveTags(from: usize, to: usize, l3: u32): void {
  if (l3 == ethernet.ETHERNET_BYTES) return;
  const tags = load<u64>(from, 12);
  store<u64>(to, tags, 12);
}

/** Writes the shim in front of the packet at `inner`. */
function writeShim(packet: Packet, vip: Vip, inner: usize, mode: u32): void {
  if (mode == FORWARD_GRE) gre.write(inner - gre.GRE_BYTES);
  if (mode == FORWARD_GUE) {
    const source = GUE_SOURCE | (entropyOf(packet) & GUE_SOURCE_BITS);
    const destination: u32 = load<u16>(changetype<usize>(vip), VIP_GUE_PORT);
    udp.write(inner - udp.UDP_BYTES, source, destination, udp.UDP_BYTES + packet.ipLength);
  }
}

/** Makes room for `bytes`, outer header and shim, and writes the shim. @returns where the outer header goes */
function open(packet: Packet, vip: Vip, bytes: u32, mode: u32): usize {
  const before: usize = packet.start;
  const start = before - bytes;
  const l3: u32 = packet.l3;
  moveTags(before, start, l3);
  inline.always(writeShim(packet, vip, before + l3, mode));
  packet.start = <u32>start;
  packet.length = l3 + bytes + packet.ipLength;
  return start + l3;
}

/** The inner packet's traffic class, which the outer header takes over: DSCP, and ECN as RFC 6040 §4.1 says (normal mode). */
function trafficClassOf(packet: Packet, inner: usize): u32 {
  return packet.family == 4 ? ipv4.tos(inner) : ipv6.trafficClass(inner);
}

/** Whether the outer packet is small enough and its headers fit in front of the inner one. */
function fits(packet: Packet, bytes: u32, mtu: u32): bool {
  return packet.ipLength + bytes <= mtu && packet.start - packet.frame >= <u32>frames + bytes;
}

/** Last four bytes of an outer source address, raw: a VIP's own, with a flow's entropy in the bits that are free for it. */
function sourceEnd(packet: Packet, vip: Vip, address: usize, bits: usize): u32 {
  const at = changetype<usize>(vip);
  return load<u32>(at + address) | (bswap<u32>(entropyOf(packet)) & load<u32>(at + bits));
}

function overIpv4(packet: Packet, vip: Vip, backend: Backend, bytes: u32, mode: u32): void {
  const outer = inline.always(open(packet, vip, bytes, mode));
  const trafficClass = trafficClassOf(packet, outer + bytes);
  const source = sourceEnd(packet, vip, VIP_SOURCE_V4, VIP_SOURCE_V4_BITS);
  const protocol = inline.always(protocolOf(packet, mode));
  const destination = <u32>backend.address0;
  const length = bytes + packet.ipLength;
  const ttl: u32 = vip.ttl;
  inline.always(ipv4.write(outer, trafficClass, length, ttl, protocol, source, destination));
  ethernet.setInnerType(outer, ethernet.ETHERTYPE_IPV4);
}

function overIpv6(packet: Packet, vip: Vip, backend: Backend, bytes: u32, mode: u32): void {
  const outer = inline.always(open(packet, vip, bytes, mode));
  const trafficClass = trafficClassOf(packet, outer + bytes);
  const length = bytes - ipv6.IPV6_BYTES + packet.ipLength;
  const protocol = inline.always(protocolOf(packet, mode));
  const source = changetype<usize>(vip) + VIP_SOURCE_V6;
  const destination = changetype<usize>(backend) + offsetof<Backend>("address0");
  const hopLimit: u32 = vip.ttl;
  inline.always(ipv6.write(outer, trafficClass, length, protocol, hopLimit, source, destination));
  ipv6.setSourceEnd(outer, sourceEnd(packet, vip, VIP_SOURCE_V6 + 12, VIP_SOURCE_V6_BITS));
  ethernet.setInnerType(outer, ethernet.ETHERTYPE_IPV6);
}

/**
 * Encapsulates in front of the packet; start and length move.
 * @param mtu most bytes of the outer packet
 * @returns REASON_NONE, or why it cannot be done
 */
export function encapsulate(packet: Packet, vip: Vip, backend: Backend, mtu: u32, mode: u32): u32 {
  if (backend.family == 4) {
    const bytes = overhead(mode, 4);
    if (!fits(packet, bytes, mtu)) return REASON_TOO_BIG;
    inline.always(overIpv4(packet, vip, backend, bytes, mode));
  } else {
    const bytes = overhead(mode, 6);
    if (!fits(packet, bytes, mtu)) return REASON_TOO_BIG;
    inline.always(overIpv6(packet, vip, backend, bytes, mode));
  }
  return REASON_NONE;
}

/** Encapsulates whatever its size; the headers have room. For packets beside the way of traffic, in any mode. */
export function encapsulateIn(packet: Packet, vip: Vip, backend: Backend, mode: u32): void {
  if (mode == FORWARD_GRE) encapsulate(packet, vip, backend, u32.MAX_VALUE, FORWARD_GRE);
  else if (mode == FORWARD_GUE) encapsulate(packet, vip, backend, u32.MAX_VALUE, FORWARD_GUE);
  else encapsulate(packet, vip, backend, u32.MAX_VALUE, FORWARD_IPIP);
}
