// A packet's place in the connection table, by the key of its flow (docs/datapath.md §2).

import { lineOf, shardOf } from "./hash";
import { lineAt } from "./instance";
import { Packet } from "./records";

export function setKey(packet: Packet, key: u64): void {
  packet.key = key;
  packet.line = <u32>lineAt(shardOf(key), lineOf(key));
}
