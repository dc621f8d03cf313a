// What a VIP may ask of a packet before the connection table is asked: its guard, and server ids of QUIC (docs/datapath.md
// §8, §9). VIPs that have neither cost a branch here, and nothing where no VIP has.

import { refuse } from "./guard";
import {
  PACKET_BYTES,
  PACKET_KIND_ICMP_ERROR,
  PACKET_KIND_ORDINARY,
  PACKET_KIND_RETURN,
  VIP_FLAG_GUARD,
  VIP_FLAG_QUIC,
} from "./layout";
import { route } from "./quic";
import { REASON_ECHO, REASON_NONE } from "./reasons";
import { Packet, Vip } from "./records";

/**
 * Decides about packets of a classified batch: those that would be forwarded or answered, and that this worker owns. Exported
 * by the module, so that the compiler does not put it into the middle of the pipeline.
 */
export function askVips(first: usize, end: usize): void {
  for (let at = first; at < end; at += PACKET_BYTES) {
    const packet = changetype<Packet>(at);
    const isFlow = packet.reason == REASON_NONE;
    if (!isFlow && packet.reason != REASON_ECHO) continue;
    // They come from routers on the way, and from backends.
    if ((packet.kind & (PACKET_KIND_ICMP_ERROR | PACKET_KIND_RETURN)) != 0) continue;
    const vip = changetype<Vip>(packet.vip);
    const flags: u32 = vip.flags;
    if (flags & VIP_FLAG_GUARD && refuse(packet, vip)) continue;
    // Of a fragmented datagram only the first part has an id: all go by their ports.
    if (flags & VIP_FLAG_QUIC && isFlow && packet.kind == PACKET_KIND_ORDINARY) route(packet, vip);
  }
}
