// Choice of a backend for a flow that the connection table does not know: hash, slot, backend id
// (docs/datapath.md §4). The table's content is the builder's business.

import { flowHash4, flowHash6 } from "./hash";
import { TABLE_SIZE, TABLE_SLOTS } from "./layout";
import { Packet, Vip } from "./records";
import * as ipv4 from "./wire/ipv4";
import * as ipv6 from "./wire/ipv6";

/** Flow hash of a parsed TCP or UDP packet. */
export function hashOf(packet: Packet): u32 {
  const ip: usize = packet.start + packet.l3;
  const ports = packet.ports;
  return packet.family == 4
    ? flowHash4(ipv4.source(ip), ipv4.destination(ip), ports, packet.protocol)
    : flowHash6(
        ipv6.source0(ip),
        ipv6.source1(ip),
        ipv6.destination0(ip),
        ipv6.destination1(ip),
        ports,
        packet.protocol,
      );
}

/** Fills in hash, slot and backend; backend 0 when the pool has none. */
export function choose(packet: Packet): void {
  packet.hash = inline.always(hashOf(packet));
  inline.always(lookUp(packet));
}

/** Fills in slot and backend of a packet whose hash is known. */
export function lookUp(packet: Packet): void {
  const table: usize = atomic.load<u32>(changetype<Vip>(packet.vip).pool);
  const hash = packet.hash;
  const size: u32 = table == 0 ? 0 : load<u32>(table, TABLE_SIZE);
  if (size == 0) {
    packet.backend = 0;
    return;
  }
  const slot = <u32>((<u64>hash * size) >>> 32);
  packet.slot = slot;
  packet.backend = load<u16>(table + (slot << 1), TABLE_SLOTS);
}
