// What a worker must make of a packet of the self-test (docs/datapath.md §7), computed from what the controller knows and
// from nothing in the arena. A new mode of forwarding is a function here and a line in MODES.

import { addressBytes } from "../../config/address.ts";
import type { BackendConfig, VipConfig } from "../../config/schema.ts";
import type { NextHop } from "../../dataplane/backend-records.ts";
import { slotOf } from "./flow-hash.ts";

/** The controller's own account of what decides about a packet. */
export interface Knowledge {
  /** The fleet's. */
  seed: bigint;
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

/** What is around a packet of a mode: undefined when it is larger than the MTU then. */
type Encapsulate = (frame: Uint8Array, vip: VipConfig, way: Way) => Uint8Array | undefined;

interface Way {
  destination: Uint8Array;
  /** Of the backend; undefined for the one that the packet has. */
  port: number | undefined;
  source: Uint8Array | undefined;
  mtu: number;
}

const MODES: Record<VipConfig["forward"], Encapsulate> = {
  l2: (frame) => frame.slice(),
  gre,
  nat,
};

/**
 * A packet as it must come back.
 * @param frame of TCP or UDP over IPv4 or IPv6, for a service of the VIP, without VLAN tags, options and padding
 */
export function expectedOf(frame: Uint8Array, vip: VipConfig, knowledge: Knowledge): Expected {
  const unchanged = { bytes: frame, backend: undefined };
  const slots = knowledge.slots(vip.pool);
  if (slots.length === 0) return unchanged;
  const id = slots[slotOf(knowledge.seed, frame.subarray(ETHERNET_BYTES), slots.length)]!;
  const hop = knowledge.nextHop(id);
  const egress = hop && knowledge.interface(hop.interface);
  if (!egress) return unchanged;
  const backend = knowledge.backend(id);
  const destination = addressBytes(backend.address);
  const source = destination.length === 4 ? knowledge.sources.v4 : knowledge.sources.v6;
  const bytes = MODES[vip.forward](frame, vip, {
    destination,
    port: backend.port,
    source,
    mtu: egress.mtu,
  });
  if (!bytes) return unchanged;
  bytes.set(hop.mac);
  bytes.set(egress.mac, hop.mac.length);
  return { bytes, backend: backend.name };
}

/** RFC 2784 in an outer header as docs/datapath.md §5 has it. */
function gre(frame: Uint8Array, vip: VipConfig, { destination, source, mtu }: Way): Uint8Array | undefined {
  const inner = frame.subarray(ETHERNET_BYTES);
  const v4 = destination.length === 4;
  const outerBytes = v4 ? 20 : 40;
  const length = outerBytes + 4 + inner.length;
  if (length > mtu) return undefined;
  const bytes = new Uint8Array(ETHERNET_BYTES + length);
  const view = new DataView(bytes.buffer);
  const outer = ETHERNET_BYTES;
  const trafficClass = inner[0]! >> 4 === 4 ? inner[1]! : ((inner[0]! & 15) << 4) | (inner[1]! >> 4);
  view.setUint16(outer - 2, v4 ? 0x0800 : 0x86dd);
  if (v4) {
    bytes.set([0x45, trafficClass, 0, 0, 0, 0, 0x40, 0, vip.tunnel.ttl, 47], outer);
    view.setUint16(outer + 2, length);
    bytes.set(source ?? new Uint8Array(4), outer + 12);
    bytes.set(destination, outer + 16);
    view.setUint16(outer + 10, checksum(view, outer, 20));
  } else {
    view.setUint32(outer, (6 << 28) | (trafficClass << 20));
    view.setUint16(outer + 4, length - outerBytes);
    bytes.set([47, vip.tunnel.ttl], outer + 6);
    bytes.set(source ?? new Uint8Array(16), outer + 8);
    bytes.set(destination, outer + 24);
  }
  view.setUint16(outer + outerBytes + 2, inner[0]! >> 4 === 4 ? 0x0800 : 0x86dd);
  bytes.set(inner, outer + outerBytes + 4);
  return bytes;
}

/** The backend's address and port instead of the VIP's, a TTL less by one, and checksums computed from scratch. */
function nat(frame: Uint8Array, _vip: VipConfig, { destination, port, mtu }: Way): Uint8Array | undefined {
  if (frame.length - ETHERNET_BYTES > mtu) return undefined;
  const bytes = frame.slice();
  const view = new DataView(bytes.buffer);
  const ip = ETHERNET_BYTES;
  const v4 = destination.length === 4;
  const l4 = ip + (v4 ? 20 : 40);
  const protocol = bytes[ip + (v4 ? 9 : 6)]!;
  bytes[ip + (v4 ? 8 : 7)]!--;
  bytes.set(destination, l4 - destination.length);
  if (v4) {
    view.setUint16(ip + 10, 0);
    view.setUint16(ip + 10, checksum(view, ip, 20));
  }
  if (port !== undefined) view.setUint16(l4 + 2, port);
  const sumAt = l4 + (protocol === 6 ? 16 : 6);
  view.setUint16(sumAt, 0);
  const length = bytes.length - l4;
  const sum = checksum(
    view,
    l4 - 2 * destination.length,
    bytes.length - (l4 - 2 * destination.length),
    protocol + length,
  );
  view.setUint16(sumAt, sum === 0 && protocol === 17 ? 0xffff : sum);
  return bytes;
}

/** RFC 1071, of an even number of bytes. @param pseudo what else is added up */
function checksum(view: DataView, at: number, length: number, pseudo = 0): number {
  let sum = pseudo;
  for (let i = 0; i < length; i += 2) sum += view.getUint16(at + i);
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
}
