// Counters: 64 bits each, written by their worker alone, summed by whoever reads.

import { counters, vipReasons } from "./instance";
import {
  COUNTER_BACKEND_BYTES,
  COUNTER_BACKENDS,
  COUNTER_REASONS,
  COUNTER_VIP_BYTES,
  COUNTER_VIP_REASONS_BYTES,
  COUNTER_VIPS,
} from "./layout";
import { REASON_NEW, REASON_PROBE } from "./reasons";
import { Packet, Vip } from "./records";

export function add(counter: u32, by: u64): void {
  const at = counters + counter;
  store<u64>(at, load<u64>(at) + by);
}

function countReason(reason: u32): void {
  add(COUNTER_REASONS + (reason << 3), 1);
}

/** Counts what became of a packet, for its VIP as well if it has one. Probes are not for VIPs. */
export function countOutcome(packet: Packet, reason: u32): void {
  countReason(reason);
  if (packet.vip == 0 || reason == REASON_PROBE) return;
  const at =
    vipReasons + changetype<Vip>(packet.vip).index * COUNTER_VIP_REASONS_BYTES + ((<usize>reason) << 3);
  store<u64>(at, load<u64>(at) + 1);
}

/** Counts forwarded packets of a VIP, given by its record; bytes are those of IP packets. @param opened those that are new */
export function countVip(vip: usize, packets: u64, bytes: u64, opened: u64): void {
  if (packets == 0) return;
  const index = changetype<Vip>(vip).index;
  const at = COUNTER_VIPS + index * COUNTER_VIP_BYTES;
  add(at, packets);
  add(at + 8, bytes);
  if (opened == 0) return;
  add(COUNTER_REASONS + (REASON_NEW << 3), opened);
  const reason = vipReasons + index * COUNTER_VIP_REASONS_BYTES + (REASON_NEW << 3);
  store<u64>(reason, load<u64>(reason) + opened);
}

/** Counts a packet forwarded to a backend. */
export function countBackend(backend: u32, bytes: u64, opensFlow: bool): void {
  // One address for all three.
  const at = counters + backend * COUNTER_BACKEND_BYTES;
  store<u64>(at, load<u64>(at, COUNTER_BACKENDS) + 1, COUNTER_BACKENDS);
  store<u64>(at, load<u64>(at, COUNTER_BACKENDS + 8) + bytes, COUNTER_BACKENDS + 8);
  if (opensFlow) store<u64>(at, load<u64>(at, COUNTER_BACKENDS + 16) + 1, COUNTER_BACKENDS + 16);
}
