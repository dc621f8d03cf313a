// The way to clients, for returns: the longest prefix that contains a destination names its next hop. The controller publishes
// the kernel's routes and neighbours as one block (ROUTES_* of layout.ts).

import { HEADER_ROUTES, NO_PREFIX, ROUTE_HOP_BYTES, ROUTES_HOPS, ROUTES_PREFIXES } from "./layout";
import { findPrefix } from "./prefix-map";
import { Packet } from "./records";
import * as ipv4 from "./wire/ipv4";
import * as ipv6 from "./wire/ipv6";

/** nextHopTo() where no route leads. */
export const NO_ROUTE: u64 = ~(<u64>0);

/** Next hop of a packet's destination, a word as BACKEND_NEXT_HOP; NO_ROUTE when there is none. */
export function nextHopTo(packet: Packet): u64 {
  const routes: usize = atomic.load<u32>(HEADER_ROUTES);
  if (routes == 0) return NO_ROUTE;
  const ip: usize = packet.start + packet.l3;
  const map = routes + load<u32>(routes, ROUTES_PREFIXES);
  const hop =
    packet.family == 4
      ? findPrefix(map, 4, ipv4.destination(ip), 0)
      : findPrefix(map, 6, ipv6.destination0(ip), ipv6.destination1(ip));
  return hop == NO_PREFIX ? NO_ROUTE : load<u64>(routes + hop * ROUTE_HOP_BYTES, ROUTES_HOPS);
}
