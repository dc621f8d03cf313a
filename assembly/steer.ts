// What the XDP program does in front of the sockets, for ports without one: which shard gets a packet.

import { flowKey4, flowKey6, shardOf } from "./hash";
import { block } from "./instance";
import { PACKET_BYTES, STEERED, WORKER_BATCH } from "./layout";
import { classify } from "./pipeline";
import { Packet } from "./records";
import { refreshServices } from "./services";
import * as ipv4 from "./wire/ipv4";
import * as ipv6 from "./wire/ipv6";

/** @returns STEERED | shard for a packet of a VIP, else 0 */
export function steer(start: u32, length: u32): u32 {
  refreshServices();
  const at = block + WORKER_BATCH;
  memory.fill(at, 0, PACKET_BYTES);
  const packet = changetype<Packet>(at);
  packet.start = start;
  packet.length = length;
  classify(at, at + PACKET_BYTES);
  if (packet.line != 0) return STEERED | shardOf(packet.key);
  if (packet.vip == 0) return 0;
  const ip: usize = start + packet.l3;
  const key =
    packet.family == 4
      ? flowKey4(ipv4.source(ip), 0, packet.service)
      : flowKey6(ipv6.source0(ip), ipv6.source1(ip), 0, packet.service);
  return STEERED | shardOf(key);
}
