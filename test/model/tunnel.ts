// docs/datapath.md §5: a packet in its tunnel. Each function returns new bytes.

import { addressBytes, concat, familyOf, field, setField } from "./bytes.ts";
import { checksum } from "./checksum.ts";
import { flowKey, type Tuple } from "./flowkey.ts";
import type { Ip } from "./parse.ts";
import type { Service } from "./services.ts";
import type { ModelSetup, TunnelMode } from "./setup.ts";

const GRE = 47;
const UDP = 17;
const IPV4_IN_IP = 4;
const IPV6_IN_IP = 41;

interface Tunnel {
  mode: TunnelMode;
  /** Outer source address, of the backend's family. */
  source: Uint8Array;
  /** The backend's address. */
  destination: string;
  ttl: number;
  guePort: number;
  /** Key of the flow. */
  key: bigint;
}

/** What is in an outer IP packet, and its protocol number there. */
interface Payload {
  protocol: number;
  bytes: Uint8Array;
}

/** The packet in the tunnel of its VIP to a backend, from the outer header on, of any size. */
export function tunnelled(
  packet: Uint8Array,
  { ip, service, tuple }: { ip: Ip; service: Service; tuple: Tuple },
  address: string,
  { machine, secret }: Pick<ModelSetup, "machine" | "secret">,
): Uint8Array {
  const { forward, ttl, guePort, sourcePrefixes } = service.vip;
  if (forward === "l2" || forward === "nat")
    throw new Error(`${service.vip.name} is not reached by a tunnel`);
  const key = flowKey(secret, tuple, service.number, service.wide);
  const family = familyOf(address);
  const prefix = sourcePrefixes.find((each) => familyOf(each) === family);
  const source = prefix ?? (family === 4 ? machine.address : machine.address6);
  if (source === undefined) throw new Error(`the machine has no address to reach ${address}`);
  const tunnel = {
    mode: forward,
    source: sourceAddress(source, key),
    destination: address,
    ttl,
    guePort,
    key,
  };
  return encapsulate(packet, ip, tunnel);
}

/** The packet inside an outer IP packet of the backend's family. */
function encapsulate(packet: Uint8Array, ip: Ip, tunnel: Tunnel): Uint8Array {
  const inner = packet.slice(ip.l3, ip.l3 + ip.length);
  const trafficClass = ip.family === 4 ? inner[1]! : (field(inner, 0, 2) >> 4) & 0xff;
  const payload = payloadOf(inner, ip.family, tunnel);
  return tunnel.source.length === 4
    ? outerIpv4(tunnel, trafficClass, payload)
    : outerIpv6(tunnel, trafficClass, payload);
}

/** An IP packet in a frame like the one that it came in: the same tags, its own type. */
export function framed(packet: Uint8Array, ip: Ip, outer: Uint8Array): Uint8Array {
  const ethernet = packet.slice(0, ip.l3);
  setField(ethernet, ip.l3 - 2, 2, outer[0]! >> 4 === 4 ? 0x0800 : 0x86dd);
  return concat(ethernet, outer);
}

/** The last bits of an address, at most 16, replaced by those of the flow's key: `sourcePrefix`. */
function sourceAddress(prefix: string, key: bigint): Uint8Array {
  const [address = "", length] = prefix.split("/");
  const bytes = addressBytes(address);
  const bits = bytes.length * 8;
  const free = Math.min(16, bits - Number(length ?? bits));
  const last = field(bytes, bytes.length - 2, 2);
  setField(bytes, bytes.length - 2, 2, last + (entropyOf(key) % 2 ** free));
  return bytes;
}

/** 16 bits that are the flow's. */
function entropyOf(key: bigint): number {
  return Number(key >> 48n);
}

function payloadOf(inner: Uint8Array, family: 4 | 6, { mode, guePort, key }: Tunnel): Payload {
  if (mode === "ipip") return { protocol: family === 4 ? IPV4_IN_IP : IPV6_IN_IP, bytes: inner };
  if (mode === "gre") return { protocol: GRE, bytes: concat(greHeader(family), inner) };
  const udp = new Uint8Array(8);
  setField(udp, 0, 2, 0xc000 + (entropyOf(key) % 2 ** 14));
  setField(udp, 2, 2, guePort);
  setField(udp, 4, 2, 8 + inner.length);
  return { protocol: UDP, bytes: concat(udp, inner) };
}

/** RFC 2784 §2.1: no checksum, version 0, the protocol type is the inner packet's EtherType. */
function greHeader(innerFamily: 4 | 6): Uint8Array {
  const header = new Uint8Array(4);
  setField(header, 2, 2, innerFamily === 4 ? 0x0800 : 0x86dd);
  return header;
}

/** RFC 791 §3.1; DSCP and ECN copied (RFC 6040 §4.1), an atomic datagram (RFC 6864 §4.1). */
function outerIpv4(tunnel: Tunnel, trafficClass: number, { protocol, bytes }: Payload): Uint8Array {
  const header = new Uint8Array(20);
  header[0] = 0x45;
  header[1] = trafficClass;
  setField(header, 2, 2, 20 + bytes.length);
  setField(header, 6, 2, 0x4000);
  header[8] = tunnel.ttl;
  header[9] = protocol;
  header.set(tunnel.source, 12);
  header.set(addressBytes(tunnel.destination), 16);
  setField(header, 10, 2, checksum(header));
  return concat(header, bytes);
}

/** RFC 8200 §3. */
function outerIpv6(tunnel: Tunnel, trafficClass: number, { protocol, bytes }: Payload): Uint8Array {
  const header = new Uint8Array(40);
  setField(header, 0, 4, 6 * 2 ** 28 + trafficClass * 2 ** 20);
  setField(header, 4, 2, bytes.length);
  header[6] = protocol;
  header[7] = tunnel.ttl;
  header.set(tunnel.source, 8);
  header.set(addressBytes(tunnel.destination), 24);
  return concat(header, bytes);
}
