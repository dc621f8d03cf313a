// docs/datapath.md §5: what a packet looks like when it leaves. Each function returns a new frame.

import { addressBytes, concat, field, macBytes, setField } from "./bytes.ts";
import { checksum, updated } from "./checksum.ts";
import type { Ip } from "./parse.ts";

const GRE_PROTOCOL = 47;
const GRE_HEADER_BYTES = 4;

/** Destination MAC = next hop, source MAC = the egress interface's. */
export function withMacs(packet: Uint8Array, nextHop: string, egressMac: string): Uint8Array {
  return concat(macBytes(nextHop), macBytes(egressMac), packet.slice(12));
}

export interface Tunnel {
  /** The machine's address of the backend's family. */
  source: string;
  destination: string;
  ttl: number;
  mtu: number;
}

/** Puts the packet into GRE over IPv4 or IPv6; undefined when the outer packet exceeds the MTU. MACs stay. */
export function encapsulate(packet: Uint8Array, ip: Ip, tunnel: Tunnel): Uint8Array | undefined {
  const inner = packet.slice(ip.l3, ip.l3 + ip.length);
  const gre = greHeader(ip.family);
  const trafficClass = ip.family === 4 ? inner[1]! : (field(inner, 0, 2) >> 4) & 0xff;
  const destination = addressBytes(tunnel.destination);
  const outer =
    destination.length === 4
      ? outerIpv4(tunnel, trafficClass, gre.length + inner.length)
      : outerIpv6(tunnel, trafficClass, gre.length + inner.length);
  if (outer.length + gre.length + inner.length > tunnel.mtu) return undefined;
  const ethernet = packet.slice(0, ip.l3);
  setField(ethernet, ip.l3 - 2, 2, destination.length === 4 ? 0x0800 : 0x86dd);
  return concat(ethernet, outer, gre, inner);
}

/** RFC 2784 §2.1: no checksum, version 0, the protocol type is the inner packet's EtherType. */
function greHeader(innerFamily: 4 | 6): Uint8Array {
  const header = new Uint8Array(GRE_HEADER_BYTES);
  setField(header, 2, 2, innerFamily === 4 ? 0x0800 : 0x86dd);
  return header;
}

/** RFC 791 §3.1; DSCP and ECN copied (RFC 6040 §4.1), an atomic datagram (RFC 6864 §4.1). */
function outerIpv4(tunnel: Tunnel, trafficClass: number, payloadLength: number): Uint8Array {
  const header = new Uint8Array(20);
  header[0] = 0x45;
  header[1] = trafficClass;
  setField(header, 2, 2, 20 + payloadLength);
  setField(header, 6, 2, 0x4000);
  header[8] = tunnel.ttl;
  header[9] = GRE_PROTOCOL;
  header.set(addressBytes(tunnel.source), 12);
  header.set(addressBytes(tunnel.destination), 16);
  setField(header, 10, 2, checksum(header));
  return header;
}

/** RFC 8200 §3. */
function outerIpv6(tunnel: Tunnel, trafficClass: number, payloadLength: number): Uint8Array {
  const header = new Uint8Array(40);
  setField(header, 0, 4, 6 * 2 ** 28 + trafficClass * 2 ** 20);
  setField(header, 4, 2, payloadLength);
  header[6] = GRE_PROTOCOL;
  header[7] = tunnel.ttl;
  header.set(addressBytes(tunnel.source), 8);
  header.set(addressBytes(tunnel.destination), 24);
  return header;
}

const REPLY_TTL = 64;

/** Answers an echo request where it lies: RFC 792, RFC 4443 §4.2; checksums by RFC 1624. */
export function echoReply(packet: Uint8Array, ip: Ip): Uint8Array {
  const reply = packet.slice();
  swap(reply, 0, 6, 6);
  if (ip.family === 4) {
    swap(reply, ip.l3 + 12, ip.l3 + 16, 4);
    change(reply, ip.l3 + 8, REPLY_TTL, ip.l3 + 8, ip.l3 + 10);
    change(reply, ip.l4, 0, ip.l4, ip.l4 + 2);
  } else {
    swap(reply, ip.l3 + 8, ip.l3 + 24, 16);
    reply[ip.l3 + 7] = REPLY_TTL;
    change(reply, ip.l4, 129, ip.l4, ip.l4 + 2);
  }
  return reply;
}

function swap(bytes: Uint8Array, a: number, b: number, length: number): void {
  const kept = bytes.slice(a, a + length);
  bytes.copyWithin(a, b, b + length);
  bytes.set(kept, b);
}

/** Sets one byte, and updates the checksum at `sumAt` for the 16-bit word at `wordAt` that holds it. */
function change(bytes: Uint8Array, at: number, value: number, wordAt: number, sumAt: number): void {
  const before = field(bytes, wordAt, 2);
  bytes[at] = value;
  setField(bytes, sumAt, 2, updated(field(bytes, sumAt, 2), before, field(bytes, wordAt, 2)));
}
