// Flows whose VIP has got another pool under network address translation. In other modes they stay where they are; here the old
// backend's answers would be nobody's, since only a pool's backends answer for its VIPs (returns.ts).

import { matchAway, matchHome, redirect } from "../conntrack";
import { PACKET_KIND_ICMP_ERROR } from "../layout";
import { Packet } from "../records";
import { choose, lookUp } from "../tables";

/**
 * Gives a packet that followed its flow's entry the backend of its slot, and the flow, too; an ICMP error changes no entry. Exported
 * by the module, so that the compiler keeps it out of the loop.
 * @returns whether there is one
 */
export function rehome(packet: Packet): bool {
  const isError = (packet.kind & PACKET_KIND_ICMP_ERROR) != 0;
  if (isError) lookUp(packet);
  else choose(packet);
  const backend: u32 = packet.backend;
  if (backend == 0) return false;
  if (isError) return true;
  const home = matchHome(packet.line, packet.key);
  const entry = home != 0 ? home : matchAway(packet.line, packet.key);
  // A packet behind it in the batch may have evicted it.
  if (entry != 0) redirect(entry, backend);
  return true;
}
