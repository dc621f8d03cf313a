// Touching what a batch will need when there is much of it: with thousands of VIPs and backends, services, records and counters
// come from outer caches, and a loop that does nothing but read them has many of those reads under way at once. With
// few of them it would only cost time (isSpread of services.ts).
//
// All of these are exported by the module, so that the compiler leaves them out of the pipeline.

import { slotHash } from "./hash";
import { backends, counters } from "./instance";
import {
  BACKEND_BYTES,
  COUNTER_BACKEND_BYTES,
  COUNTER_BACKENDS,
  COUNTER_VIP_BYTES,
  COUNTER_VIPS,
  PACKET_BYTES,
} from "./layout";
import { Packet, Vip } from "./records";
import { slotOfHash, tailOf } from "./services";
import * as ethernet from "./wire/ethernet";
import * as ipv4 from "./wire/ipv4";
import * as ipv6 from "./wire/ipv6";
import { ports } from "./wire/tcp";

/** What was read: exported, so that the compiler keeps the reads. */
export let felt: u64 = 0;

/** The first hash slot of each packet's service, before it is parsed: as if it had no VLAN tags, options and the like. */
export function touchServices(first: usize, end: usize): void {
  let sum = felt;
  for (let at = first; at < end; at += PACKET_BYTES) {
    // Whatever these bytes are, they lie in the packet's frame.
    const frame: usize = changetype<Packet>(at).start;
    const ip = frame + ethernet.ETHERNET_BYTES;
    const isV4 = ethernet.etherType(frame) == ethernet.ETHERTYPE_IPV4;
    const family: u32 = isV4 ? 4 : 6;
    const address0: u64 = isV4 ? <u64>ipv4.destination(ip) : ipv6.destination0(ip);
    const address1: u64 = isV4 ? 0 : ipv6.destination1(ip);
    const protocol = isV4 ? ipv4.protocol(ip) : ipv6.nextHeader(ip);
    const l4 = ip + (isV4 ? ipv4.IPV4_BYTES : ipv6.IPV6_BYTES);
    sum ^= load<u64>(slotOfHash(slotHash(address0, address1, tailOf(ports(l4) >>> 16, protocol, family))));
  }
  felt = sum;
}

/** Records of the VIPs that packets are for. Packets that are for none read the arena's first, unused line. */
export function touchVips(first: usize, end: usize): void {
  let sum = felt;
  for (let at = first; at < end; at += PACKET_BYTES) sum ^= load<u64>(changetype<Packet>(at).vip);
  felt = sum;
}

/** Records and counters of the backends, and counters of the VIPs. */
export function touchOutcomes(first: usize, end: usize): void {
  let sum = felt;
  for (let at = first; at < end; at += PACKET_BYTES) {
    const packet = changetype<Packet>(at);
    const backend: usize = packet.backend;
    const vip = changetype<Vip>(packet.vip).index;
    sum ^=
      load<u64>(backends + backend * BACKEND_BYTES) ^
      load<u64>(counters + backend * COUNTER_BACKEND_BYTES, COUNTER_BACKENDS) ^
      load<u64>(counters + vip * COUNTER_VIP_BYTES, COUNTER_VIPS);
  }
  felt = sum;
}
