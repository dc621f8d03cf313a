// The key by which packets are steered that do not show their flow's ports: fragments, ICMP, and what hides its ports.

import { flowKey4, flowKey6 } from "./hash";
import { Packet } from "./records";
import { findService, serviceNumber, tailOf } from "./services";
import * as ipv4 from "./wire/ipv4";
import * as ipv6 from "./wire/ipv6";

/** Flow key of the client to which a backend sends a fragment, as if of a service with number 0. */
export function clientKey(packet: Packet): u64 {
  const ip: usize = packet.start + packet.l3;
  return packet.family == 4
    ? flowKey4(ipv4.destination(ip), 0, 0, 0)
    : flowKey6(ipv6.destination0(ip), ipv6.destination1(ip), 0, 0, 0);
}

/** Flow key of source and address service (docs/datapath.md §2). The packet is for a VIP, so that its address has one. */
export function addressKey(packet: Packet): u64 {
  const ip: usize = packet.start + packet.l3;
  if (packet.family == 4) {
    const service = findService(ipv4.destination(ip), 0, tailOf(0, ipv4.PROTOCOL_ICMP, 4));
    return flowKey4(ipv4.source(ip), 0, serviceNumber(service), 0);
  }
  const tail = tailOf(0, ipv6.NEXT_ICMPV6, 6);
  const service = findService(ipv6.destination0(ip), ipv6.destination1(ip), tail);
  return flowKey6(ipv6.source0(ip), ipv6.source1(ip), 0, serviceNumber(service), 0);
}
