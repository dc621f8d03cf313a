// What a worker must make of a packet of the self-test (docs/datapath.md §7), computed from what the controller knows and
// from nothing in the arena.

import { addressBytes } from "../../config/address.ts";
import type { BackendConfig, VipConfig } from "../../config/schema.ts";
import type { NextHop } from "../../dataplane/backend-records.ts";
import { encapsulated } from "./encapsulation.ts";
import { type FlowService, flowKey, slotOf } from "./flow-hash.ts";
import { toBackend } from "./translation.ts";

/** The controller's own account of what decides about a packet. */
export interface Knowledge {
  /** The fleet's. */
  seed: bigint;
  /** Four words, the machine's. */
  secret: readonly bigint[];
  /** Outer source addresses of tunnels. */
  sources: { v4: Uint8Array | undefined; v6: Uint8Array | undefined };
  /** Backend ids in slot order. */
  slots(pool: string): Uint16Array;
  backend(id: number): BackendConfig;
  nextHop(id: number): NextHop | undefined;
  interface(index: number): { mac: Uint8Array; mtu: number } | undefined;
}

export interface Expected {
  bytes: Uint8Array;
  /** Name of the backend; undefined when the packet should come back as it was sent. */
  backend: string | undefined;
}

const ETHERNET_BYTES = 14;

/**
 * A packet as it must come back.
 * @param frame of TCP or UDP over IPv4 or IPv6, for a service of the VIP, without VLAN tags, options and
 * padding
 */
export function expectedOf(
  frame: Uint8Array,
  service: FlowService,
  vip: VipConfig,
  knowledge: Knowledge,
): Expected {
  const unchanged = { bytes: frame, backend: undefined };
  const slots = knowledge.slots(vip.pool);
  if (slots.length === 0) return unchanged;
  const packet = frame.subarray(ETHERNET_BYTES);
  const id = slots[slotOf(knowledge.seed, packet, slots.length)]!;
  const hop = knowledge.nextHop(id);
  const egress = hop && knowledge.interface(hop.interface);
  if (!egress) return unchanged;
  const backend = knowledge.backend(id);
  let bytes = frame.slice();
  if (vip.forward === "nat") {
    const translated = toBackend(packet, backend, egress.mtu);
    if (!translated) return unchanged;
    bytes.set(translated, ETHERNET_BYTES);
  } else if (vip.forward !== "l2") {
    const destination = addressBytes(backend.address);
    const v4 = destination.length === 4;
    const source = v4 ? knowledge.sources.v4 : knowledge.sources.v6;
    const entropy = Number(flowKey(knowledge.secret, packet, service) >> 48n);
    const outer = encapsulated(packet, vip.forward, vip, { destination, source, mtu: egress.mtu, entropy });
    if (!outer) return unchanged;
    bytes = Buffer.concat([frame.subarray(0, ETHERNET_BYTES), outer]);
    bytes.set(v4 ? [0x08, 0x00] : [0x86, 0xdd], ETHERNET_BYTES - 2);
  }
  bytes.set(hop.mac);
  bytes.set(egress.mac, hop.mac.length);
  return { bytes, backend: backend.name };
}
