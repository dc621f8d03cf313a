// Counters: 64 bits each, written by their worker alone, summed by whoever reads.

import { counters } from "./instance";
import { COUNTER_BACKENDS, COUNTER_BACKEND_BYTES, COUNTER_REASONS, COUNTER_VIPS, COUNTER_VIP_BYTES, REASON_NEW } from "./layout";
import { Packet, Vip } from "./records";

export function add(counter: u32, by: u64): void {
  store<u64>(counters + counter, load<u64>(counters + counter) + by);
}

export function countReason(reason: u32): void {
  add(COUNTER_REASONS + (reason << 3), 1);
}

/** Counts a forwarded packet for its VIP and its backend. `bytes` are those of the IP packet. */
export function countForwarded(packet: Packet, reason: u32): void {
  const bytes: u64 = packet.ipLength;
  const vip = COUNTER_VIPS + changetype<Vip>(packet.vip).index * COUNTER_VIP_BYTES;
  add(vip, 1);
  add(vip + 8, bytes);
  const backend = COUNTER_BACKENDS + <u32>packet.backend * COUNTER_BACKEND_BYTES;
  add(backend, 1);
  add(backend + 8, bytes);
  if (reason == REASON_NEW) add(backend + 16, 1);
}
