// Sources to which no answer could be sent, so that their packets are forged or lost their way (docs/datapath.md §3;
// RFC 1122 §3.2.1.3, RFC 6890): 0.0.0.0/8, 127.0.0.0/8, multicast, broadcast, the unspecified address, IPv4-mapped ones, the
// balancer's own, and the packet's destination. None of them has an entry in the connection table: hits are not asked.

import { HEADER_SOURCE_V4, HEADER_SOURCE_V6 } from "./layout";
import { REASON_LAND, REASON_NONE, REASON_SPOOFED_SOURCE } from "./reasons";
import { Packet } from "./records";
import { isVip, tailOf } from "./services";
import * as ipv4 from "./wire/ipv4";
import * as ipv6 from "./wire/ipv6";

const BROADCAST: u32 = 0xffffffff;
/** ::1, second half, raw. */
const LOOPBACK1: u64 = 0x0100000000000000;
/** ::ffff:0:0/96, the four bytes before the IPv4 address, raw. */
const MAPPED: u32 = 0xffff0000;

/**
 * Drops a packet whose source is impossible. Exported by the module, so that the compiler does not put it into the middle of the
 * pipeline.
 * @returns whether it was
 */
export function refuseSource(packet: Packet): bool {
  const reason = refusalOf(packet);
  if (reason == REASON_NONE) return false;
  packet.reason = <u8>reason;
  packet.backend = 0;
  packet.hash = 0;
  packet.slot = 0;
  return true;
}

/** Why a packet's source is impossible, or REASON_NONE. */
export function refusalOf(packet: Packet): u32 {
  const ip: usize = packet.start + packet.l3;
  return packet.family == 4 ? refusal4(ip) : refusal6(ip);
}

function refusal4(ip: usize): u32 {
  const source = ipv4.source(ip);
  if (source == ipv4.destination(ip)) return REASON_LAND;
  const first = source & 0xff;
  const isForged =
    first == 0 ||
    first == 127 ||
    (first & 0xf0) == 0xe0 ||
    source == BROADCAST ||
    source == load<u32>(HEADER_SOURCE_V4) ||
    isVip(source, 0, tailOf(0, ipv4.PROTOCOL_ICMP, 4));
  return isForged ? REASON_SPOOFED_SOURCE : REASON_NONE;
}

function refusal6(ip: usize): u32 {
  const source0 = ipv6.source0(ip);
  const source1 = ipv6.source1(ip);
  if (source0 == ipv6.destination0(ip) && source1 == ipv6.destination1(ip)) return REASON_LAND;
  const isForged =
    (source0 & 0xff) == 0xff ||
    (source0 == 0 && (source1 == 0 || source1 == LOOPBACK1 || <u32>source1 == MAPPED)) ||
    (source0 == load<u64>(HEADER_SOURCE_V6) && source1 == load<u64>(HEADER_SOURCE_V6 + 8)) ||
    isVip(source0, source1, tailOf(0, ipv6.NEXT_ICMPV6, 6));
  return isForged ? REASON_SPOOFED_SOURCE : REASON_NONE;
}
