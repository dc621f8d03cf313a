// Packets that the egress interface cannot send in one piece, the tunnel's headers included (docs/datapath.md §5):
//
//   VIP                          packet                            becomes
//   any but `tooBig: fragment`   IPv4 with DF, IPv6 above 1280     an ICMP error to its sender (of answers under `nat`, the
//                                                                  backend), or dropped
//   tunnels                      all others                        encapsulated, and fragments
//   other modes                  all others                        dropped
//
// They are rare: all of this is beside the way of traffic.

import { mayAnswer } from "../admission";
import { backends, frames, interfaces, portAt } from "../instance";
import {
  BACKEND_BYTES,
  FORWARD_GRE,
  FORWARD_GUE,
  INTERFACE_BYTES,
  INTERFACE_MTU,
  NO_PORT,
  PACKET_KIND_ICMP_ERROR,
  PACKET_KIND_RETURN,
  VIP_FLAG_FRAGMENT_OUTER,
} from "../layout";
import { obstructed } from "../probe";
import {
  REASON_NO_ROUTE,
  REASON_NONE,
  REASON_PROBE,
  REASON_TOO_BIG,
  REASON_TOO_BIG_REPLIED,
  REASON_UNRESOLVED,
} from "../reasons";
import { Backend, Packet, Vip } from "../records";
import { NO_ROUTE, nextHopTo } from "../routes";
import { refusalOf } from "../sources";
import * as ethernet from "../wire/ethernet";
import * as icmp from "../wire/icmp";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import { egress } from "./egress";
import { forwardL2 } from "./l2";
import { checkSplit, split } from "./split";
import { encapsulateIn, outerBytes, overhead } from "./tunnel";

/** Packets that every link takes: a sender is never told to send smaller ones (RFC 791 §3.2, RFC 8200 §5). */
const LEAST_V4: u32 = 68;
const LEAST_V6: u32 = 1280;
/** An ICMP error's size: as much of the packet as fits (RFC 1812 §4.3.2.3, RFC 4443 §3.2). */
const ERROR_V4_BYTES: u32 = 576;
const ERROR_V6_BYTES: u32 = 1280;
const REPLY_TTL: u32 = 64;
/** Internetwork control, not ECN-capable: RFC 1812 §4.3.2.5. */
const REPLY_TOS: u32 = 0xc0;

/**
 * What becomes of a packet that forward() refused. Exported by the module, so that the compiler does not put it into the
 * loops.
 * @returns its reason
 */
export function overcome(packet: Packet, obstacle: u32): u32 {
  if (obstacle == REASON_TOO_BIG && packet.reason != REASON_PROBE) return exceed(packet);
  return obstructed(packet, obstacle);
}

function exceed(packet: Packet): u32 {
  const vip = changetype<Vip>(packet.vip);
  const mode: u32 = vip.forward;
  const backend = changetype<Backend>(backends + packet.backend * BACKEND_BYTES);
  const isReturn = (packet.kind & PACKET_KIND_RETURN) != 0;
  const nextHop = isReturn ? nextHopTo(packet) : atomic.load<u64>(changetype<usize>(backend));
  // It may be another one than forward() has seen, or none any more.
  if (nextHop == NO_ROUTE) return REASON_NO_ROUTE;
  const slot = <u32>(nextHop >>> 48) & 0xff;
  const port = egress(packet.port, slot);
  if (nextHop >>> 56 == 0 || port == NO_PORT) return REASON_UNRESOLVED;
  const egressInterface = interfaces + slot * INTERFACE_BYTES;
  const mtu = load<u32>(egressInterface, INTERFACE_MTU);
  const isTunnel = mode - FORWARD_GRE <= FORWARD_GUE - FORWARD_GRE;
  const family = backend.family;
  const bytes = isTunnel ? overhead(mode, family) : 0;
  if (!isTunnel || (vip.flags & VIP_FLAG_FRAGMENT_OUTER) == 0) {
    const least = packet.family == 4 ? LEAST_V4 : LEAST_V6;
    if (packet.ipLength > least && mustBeWhole(packet)) {
      const room = mtu > bytes ? mtu - bytes : 0;
      return answer(packet, room > least ? room : least);
    }
  }
  if (!isTunnel || packet.start - packet.frame < <u32>frames + bytes + ipv6.FRAGMENT_BYTES)
    return REASON_TOO_BIG;
  const obstacle = checkSplit(family, bytes - outerBytes(family) + packet.ipLength, mtu, port);
  if (obstacle != REASON_NONE) return obstacle;
  encapsulateIn(packet, vip, backend, mode);
  forwardL2(packet.start, nextHop, load<u64>(egressInterface));
  packet.port = <u8>port;
  split(packet, family, mtu);
  return packet.reason;
}

/** Whether no router may fragment it. */
function mustBeWhole(packet: Packet): bool {
  return packet.family == 6 || ipv4.isWhole(packet.start + packet.l3);
}

/** Whether its sender may be told: RFC 1122 §3.2.2 and RFC 4443 §2.4 (e) say when not. */
function isAnswerable(packet: Packet): bool {
  const ip: usize = packet.start + packet.l3;
  if ((packet.kind & PACKET_KIND_ICMP_ERROR) != 0) return false;
  const isFlow = packet.protocol == ipv4.PROTOCOL_TCP || packet.protocol == ipv4.PROTOCOL_UDP;
  if (!isFlow || (packet.family == 4 && ipv4.isLaterFragment(ip))) return false;
  // A packet of a hand-off ring may have no way back.
  return portAt(packet.port).txMask != 0 && refusalOf(packet) == REASON_NONE;
}

/** Tells the sender how big its packets may be. @returns the packet's reason */
function answer(packet: Packet, mtu: u32): u32 {
  if (!isAnswerable(packet) || !mayAnswer(packet.key)) return REASON_TOO_BIG;
  if (packet.family == 4) answerIpv4(packet, mtu);
  else answerIpv6(packet, mtu);
  return REASON_TOO_BIG_REPLIED;
}

/** Puts `bytes` in front of the packet, behind an Ethernet header that leads back. @returns where they begin */
function turn(packet: Packet, bytes: u32, quoted: u32): usize {
  const l3: u32 = packet.l3;
  const start: usize = packet.start - bytes;
  memory.copy(start, packet.start, l3);
  ethernet.swapAddresses(start);
  packet.start = <u32>start;
  packet.length = l3 + bytes + quoted;
  return start + l3;
}

/** Bytes of the packet that fit behind an error's headers. */
function quotable(packet: Packet, room: u32): u32 {
  return packet.ipLength < room ? packet.ipLength : room;
}

/** RFC 792, with the next hop's MTU of RFC 1191 §4. */
function answerIpv4(packet: Packet, mtu: u32): void {
  const headers = ipv4.IPV4_BYTES + icmp.ICMP_BYTES;
  const quoted = quotable(packet, ERROR_V4_BYTES - headers);
  const ip = turn(packet, headers, quoted);
  const inner = ip + headers;
  const source = ipv4.destination(inner);
  const destination = ipv4.source(inner);
  ipv4.write(ip, REPLY_TOS, headers + quoted, REPLY_TTL, ipv4.PROTOCOL_ICMP, source, destination);
  const rest = (<u32>bswap<u16>(<u16>mtu)) << 16;
  icmp.write(ip + ipv4.IPV4_BYTES, icmp.FRAGMENTATION_NEEDED, rest, icmp.ICMP_BYTES + quoted, 0);
}

/** RFC 4443 §3.2. */
function answerIpv6(packet: Packet, mtu: u32): void {
  const headers = ipv6.IPV6_BYTES + icmp.ICMP_BYTES;
  const quoted = quotable(packet, ERROR_V6_BYTES - headers);
  const ip = turn(packet, headers, quoted);
  const addresses = ipv6.addressesAt(ip + headers);
  const length = icmp.ICMP_BYTES + quoted;
  ipv6.write(ip, 0, length, ipv6.NEXT_ICMPV6, REPLY_TTL, addresses + 16, addresses);
  // The pseudo-header's length and next header, as 32-bit words in network order.
  const sum = <u64>bswap<u32>(length) + (ipv6.NEXT_ICMPV6 << 24) + ipv6.sumOfAddresses(ip);
  icmp.write(ip + ipv6.IPV6_BYTES, icmp.PACKET_TOO_BIG, bswap<u32>(mtu), length, sum);
}
