// A packet in its tunnel, as docs/datapath.md §5 has it, by something that is not the workers'.

import type { VipConfig } from "../../config/schema.ts";
import { sourcePrefixOf } from "../../config/tunnel.ts";

/** Where an encapsulated packet comes from and goes to. */
export interface Way {
  /** The machine's outer source address, of the destination's family. */
  source: Uint8Array | undefined;
  destination: Uint8Array;
  /** Most bytes of the outer packet. */
  mtu: number;
  /** 16 bits of the flow's key. */
  entropy: number;
}

/** What is between the outer header and the packet, and the protocol by which the outer header announces it. */
interface Shim {
  bytes: Uint8Array;
  protocol: number;
}

type Tunnel = Exclude<VipConfig["forward"], "l2" | "nat">;

const SHIMS: Record<Tunnel, (inner: Uint8Array, vip: VipConfig, way: Way) => Shim> = {
  gre: (inner) => ({ bytes: words(0, isIpv4(inner) ? 0x0800 : 0x86dd), protocol: 47 }),
  ipip: (inner) => ({ bytes: words(), protocol: isIpv4(inner) ? 4 : 41 }),
  gue: (inner, { tunnel }, { entropy }) => ({
    bytes: words(0xc000 | (entropy & 0x3fff), tunnel.guePort, 8 + inner.length, 0),
    protocol: 17,
  }),
};

const isIpv4 = (packet: Uint8Array) => packet[0]! >> 4 === 4;

/** 16-bit words in network order. */
function words(...values: number[]): Uint8Array {
  return Uint8Array.from(values.flatMap((value) => [value >> 8, value & 255]));
}

/**
 * An IP packet in the tunnel of a VIP, from the outer header on.
 * @returns undefined when it is larger than the MTU then
 */
export function encapsulated(
  inner: Uint8Array,
  forward: Tunnel,
  vip: VipConfig,
  way: Way,
): Uint8Array | undefined {
  const { bytes: shim, protocol } = SHIMS[forward](inner, vip, way);
  const { destination, mtu } = way;
  const v4 = destination.length === 4;
  const trafficClass = isIpv4(inner) ? inner[1]! : ((inner[0]! & 15) << 4) | (inner[1]! >> 4);
  const header = new Uint8Array(v4 ? 20 : 40);
  const view = new DataView(header.buffer);
  const payload = shim.length + inner.length;
  if (header.length + payload > mtu) return undefined;
  if (v4) {
    header.set([0x45, trafficClass, 0, 0, 0, 0, 0x40, 0, vip.tunnel.ttl, protocol]);
    view.setUint16(2, header.length + payload);
  } else {
    view.setUint32(0, (6 << 28) | (trafficClass << 20));
    view.setUint16(4, payload);
    header.set([protocol, vip.tunnel.ttl], 6);
  }
  header.set(sourceOf(vip, way), v4 ? 12 : 8);
  header.set(destination, v4 ? 16 : 24);
  if (v4) view.setUint16(10, checksum(view));
  return Buffer.concat([header, shim, inner]);
}

/** The machine's address, or one of the VIP's prefix. */
function sourceOf({ tunnel }: VipConfig, { source, destination, entropy }: Way): Uint8Array {
  const bits = destination.length * 8;
  const prefix = sourcePrefixOf(tunnel.sourcePrefix, bits === 32 ? 4 : 6);
  if (!prefix) return source ?? new Uint8Array(destination.length);
  const address = prefix.bytes.slice();
  const free = entropy & (2 ** Math.min(16, bits - prefix.length) - 1);
  address[address.length - 2]! |= free >> 8;
  address[address.length - 1]! |= free & 255;
  return address;
}

/** RFC 1071. */
function checksum(header: DataView): number {
  let sum = 0;
  for (let at = 0; at < header.byteLength; at += 2) sum += header.getUint16(at);
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
}
