// Packets that came by ports for probes (PORT_KIND_*): what becomes of them instead of what parse() said. They are in a
// batch rarely, so all of this is beside the way of traffic.
//
//   port        packet                 becomes
//   self-test   for a flow of a VIP    rewritten for the backend of its slot, and goes back; as it came where forward() cannot
//               anything else          goes back as it came
//   probe       for a flow of a VIP    forwarded to the backend of its source port, or dropped (no-backend)
//               an ICMP error          dropped (icmp-unsupported): it would count as traffic
//               anything else          what parse() said
//
// Whose shard they belong to does not matter: they touch no state of a flow.

import { portAt, probes } from "./instance";
import {
  PACKET_BYTES,
  PACKET_KIND_ICMP_ERROR,
  PACKET_KIND_ORDINARY,
  PACKET_KIND_RETURN,
  PORT_KIND_SELF_TEST,
  PORT_KIND_TRAFFIC,
} from "./layout";
import {
  REASON_HANDED,
  REASON_ICMP_UNSUPPORTED,
  REASON_NO_BACKEND,
  REASON_NONE,
  REASON_PROBE,
} from "./reasons";
import { Packet } from "./records";
import { choose } from "./tables";

/**
 * Decides about the packets of a parsed batch that are no traffic. Exported by the module, so that the compiler does not put it
 * into the middle of the pipeline.
 */
export function classifyProbes(first: usize, end: usize): void {
  for (let at = first; at < end; at += PACKET_BYTES) {
    const packet = changetype<Packet>(at);
    const kind = portAt(packet.port).kind;
    if (kind == PORT_KIND_TRAFFIC) continue;
    const isReturn = (packet.kind & PACKET_KIND_RETURN) != 0;
    const isFlow =
      (packet.reason == REASON_NONE || packet.reason == REASON_HANDED) && packet.kind == PACKET_KIND_ORDINARY;
    if (kind == PORT_KIND_SELF_TEST) {
      if (isFlow) choose(packet);
      if (isReturn) {
        packet.kind = <u8>PACKET_KIND_ORDINARY;
        packet.backend = 0;
      }
      packet.reason = <u8>REASON_PROBE;
    } else if (isFlow) {
      packet.backend = <u16>backendOfPort(packet);
      if (packet.backend == 0) dropProbe(packet, REASON_NO_BACKEND);
      else packet.reason = <u8>REASON_PROBE;
    } else if (packet.kind == PACKET_KIND_ICMP_ERROR) {
      dropProbe(packet, REASON_ICMP_UNSUPPORTED);
    }
  }
}

/** The backend that a source port probes; 0 for none. */
function backendOfPort(packet: Packet): u32 {
  const raw = <u16>packet.ports;
  return atomic.load<u16>(probes + ((<usize>bswap<u16>(raw)) << 1));
}

/** Ends a probe, whose VIP does not count it. */
export function dropProbe(packet: Packet, reason: u32): void {
  packet.reason = <u8>reason;
  packet.vip = 0;
}

/** What a packet that forward() refused ends with: a self-test goes back as it came, and whoever sent it knows why. */
export function obstructed(packet: Packet, obstacle: u32): u32 {
  if (packet.reason != REASON_PROBE) return obstacle;
  if (portAt(packet.port).kind == PORT_KIND_SELF_TEST) return REASON_PROBE;
  dropProbe(packet, obstacle);
  return obstacle;
}
