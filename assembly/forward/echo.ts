// Answers an echo request to a VIP (RFC 792, RFC 4443 §4.2) by turning it round in place, unless its source is nobody's:
// an answer to a broadcast address would be an amplifier.

import { Packet } from "../records";
import { refuseSource } from "../sources";
import * as ethernet from "../wire/ethernet";
import * as icmp from "../wire/icmp";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";

const REPLY_TTL: u32 = 64;

export function replyEcho(packet: Packet): void {
  if (refuseSource(packet)) return;
  const ip: usize = packet.start + packet.l3;
  const l4: usize = packet.start + packet.l4;
  ethernet.swapAddresses(packet.start);
  if (packet.family == 4) {
    ipv4.swapAddresses(ip);
    ipv4.setTtl(ip, REPLY_TTL);
    icmp.setTypeCode(l4, icmp.ECHO_REPLY_V4);
  } else {
    ipv6.swapAddresses(ip);
    ipv6.setHopLimit(ip, REPLY_TTL);
    icmp.setTypeCode(l4, icmp.ECHO_REPLY_V6);
  }
}
