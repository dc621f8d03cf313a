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

/** Moves the VLAN tags (0, 4 or 8 bytes, with the type before them) to the front; the MAC addresses are written later. */
function moveTags(from: usize, to: usize, l3: u32): void {
  if (l3 == ethernet.ETHERNET_BYTES) return;
  const tags = load<u64>(from, 12);
  store<u64>(to, tags, 12);
}

/**
 * Encapsulates in front of the packet; start and length move.
 * @param mtu most bytes of the outer packet
 * @returns REASON_NONE, or why it cannot be done
 */
export function forwardGre(packet: Packet, vip: Vip, backend: Backend, mtu: u32): u32 {
  const overIpv4 = backend.family == 4;
  const outerBytes = (overIpv4 ? ipv4.IPV4_BYTES : ipv6.IPV6_BYTES) + gre.GRE_BYTES;
  const outerLength = outerBytes + packet.ipLength;
  const headroom = packet.start - <u32>frames - packet.frame;
  if (outerLength > mtu || headroom < outerBytes) return REASON_TOO_BIG;

  const start = packet.start - outerBytes;
  const l3: u32 = packet.l3;
  const inner: usize = packet.start + l3;
  const outer: usize = start + l3;
  const insideIpv4 = packet.family == 4;
  const trafficClass = insideIpv4 ? ipv4.tos(inner) : ipv6.trafficClass(inner);
  moveTags(packet.start, start, l3);
  if (overIpv4) {
    const source = load<u32>(HEADER_SOURCE_V4);
    ipv4.write(outer, trafficClass, outerLength, vip.ttl, ipv4.PROTOCOL_GRE, source, <u32>backend.address0);
    store<u16>(outer - 2, <u16>ethernet.ETHERTYPE_IPV4);
  } else {
    const destination = changetype<usize>(backend) + offsetof<Backend>("address0");
    ipv6.write(
      outer,
      trafficClass,
      gre.GRE_BYTES + packet.ipLength,
      ipv4.PROTOCOL_GRE,
      vip.ttl,
      HEADER_SOURCE_V6,
      destination,
    );
    store<u16>(outer - 2, <u16>ethernet.ETHERTYPE_IPV6);
  }
  gre.write(inner - gre.GRE_BYTES, insideIpv4 ? ethernet.ETHERTYPE_IPV4 : ethernet.ETHERTYPE_IPV6);
  packet.start = start;
  packet.length = l3 + outerLength;
  return REASON_NONE;
}
