// What the controller asks about packets that it does not forward. The answer is in the first record of its own
// block's batch, which nothing else uses.

import { addressKey } from "./address-key";
import { shardOf } from "./hash";
import { block } from "./instance";
import {
  PACKET_BYTES,
  PACKET_KIND_ORDINARY,
  PACKET_KIND_RETURN,
  STEERED,
  STEERED_APART,
  WORKER_BATCH,
} from "./layout";
import { classify } from "./pipeline";
import { Packet } from "./records";
import { refreshServices } from "./services";
import { hashOf } from "./tables";

/** Parses a packet, finds its service and computes its flow key. */
function read(start: u32, length: u32): Packet {
  refreshServices();
  const at = block + WORKER_BATCH;
  memory.fill(at, 0, PACKET_BYTES);
  const packet = changetype<Packet>(at);
  packet.start = start;
  packet.length = length;
  classify(at, at + PACKET_BYTES);
  return packet;
}

/**
 * What the XDP program does in front of the sockets, for ports without one: which shard gets a packet.
 * @returns STEERED | shard for a packet of a VIP or of a backend to a client, and STEERED_APART when its flow may be in another shard; else 0
 */
export function steer(start: u32, length: u32): u32 {
  const packet = read(start, length);
  if (packet.line != 0) return STEERED | shardOf(packet.key);
  // For no VIP, but with a key: a fragment of a backend's.
  if (packet.vip == 0) return packet.key == 0 ? 0 : STEERED | STEERED_APART | shardOf(packet.key);
  const steered = STEERED | shardOf(addressKey(packet));
  return packet.kind == PACKET_KIND_ORDINARY ? steered : steered | STEERED_APART;
}

/**
 * The flow of a packet, as the lookup tables see it.
 * @returns address of a record with its service, key and hash, valid until the next call; 0 for what is no TCP or UDP
 *   flow of a VIP, and for what a backend answers
 */
export function flowOf(start: u32, length: u32): u32 {
  const packet = read(start, length);
  if (packet.line == 0 || (packet.kind & PACKET_KIND_RETURN) != 0) return 0;
  packet.hash = hashOf(packet);
  return <u32>changetype<usize>(packet);
}
