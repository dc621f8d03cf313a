// docs/datapath.md §1: the checks in their order; the first that fails decides.

import { addressBytes, field } from "./bytes.ts";
import type { Tuple } from "./flowkey.ts";
import type { Origin, Origins } from "./nat.ts";
import { ICMP, ICMPV6, type Service, type Services, TCP, UDP } from "./services.ts";

/** An IP packet that passed its header's checks. Offsets count from the start of the frame. */
export interface Ip {
  family: 4 | 6;
  l3: number;
  l4: number;
  /** Bytes of the IP packet by its own header, so without Ethernet's padding. */
  length: number;
  /** Bytes of layer 4. */
  l4Length: number;
  protocol: number;
  source: Uint8Array;
  destination: Uint8Array;
}

export type Parsed =
  | { step: "done"; verdict: "pass" | "drop"; reason: string; service?: Service; tuple?: Tuple }
  | { step: "echo"; ip: Ip; service: Service; tuple: Tuple }
  | { step: "answer"; ip: Ip; origin: Origin; service: Service; tuple: Tuple; tcpFlags: number | undefined }
  | { step: "flow"; ip: Ip; service: Service; tuple: Tuple; tcpFlags: number | undefined };

const NO_PORT = new Uint8Array(2);
const drop = (reason: string): Parsed => ({ step: "done", verdict: "drop", reason });
const pass = (reason: string): Parsed => ({ step: "done", verdict: "pass", reason });

export function parse(packet: Uint8Array, services: Services, origins: Origins): Parsed {
  if (packet.length < 14) return drop("truncated");
  let l3 = 14;
  for (let tags = 0; tags < 2 && [0x8100, 0x88a8].includes(field(packet, l3 - 2, 2)); tags++) {
    if (packet.length < l3 + 4) return drop("truncated");
    l3 += 4;
  }
  const etherType = field(packet, l3 - 2, 2);
  if (etherType === 0x0800) return parseIpv4(packet, l3, services, origins);
  if (etherType === 0x86dd) return parseIpv6(packet, l3, services, origins);
  return pass("not-ip");
}

/** Rule 2. RFC 791 §3.1. */
function parseIpv4(packet: Uint8Array, l3: number, services: Services, origins: Origins): Parsed {
  const available = packet.length - l3;
  if (available < 20) return drop("truncated");
  const version = packet[l3]! >> 4;
  const headerLength = (packet[l3]! & 15) * 4;
  if (version !== 4 || headerLength < 20) return drop("bad-header");
  if (headerLength > available) return drop("truncated");
  const length = field(packet, l3 + 2, 2);
  if (length < headerLength || length > available) return drop("bad-length");
  if (packet[l3 + 8] === 0) return drop("ttl-expired");
  const ip: Ip = {
    family: 4,
    l3,
    l4: l3 + headerLength,
    length,
    l4Length: length - headerLength,
    protocol: packet[l3 + 9]!,
    source: packet.slice(l3 + 12, l3 + 16),
    destination: packet.slice(l3 + 16, l3 + 20),
  };
  const moreFragments = (packet[l3 + 6]! & 0x20) !== 0;
  const fragmentOffset = field(packet, l3 + 6, 2) & 0x1fff;
  if (moreFragments || fragmentOffset !== 0) return addressRule(ip, "fragment", services);
  return parseLayer4(packet, ip, services, origins);
}

const FRAGMENT_HEADER = 44;
/** Hop-by-hop, routing, AH, destination options, mobility, HIP, shim6 (RFC 7045 §4, without ESP and fragment). */
const EXTENSION_HEADERS = [0, 43, 51, 60, 135, 139, 140];

/** Rule 3. RFC 8200 §3. */
function parseIpv6(packet: Uint8Array, l3: number, services: Services, origins: Origins): Parsed {
  const available = packet.length - l3;
  if (available < 40) return drop("truncated");
  if (packet[l3]! >> 4 !== 6) return drop("bad-header");
  const payloadLength = field(packet, l3 + 4, 2);
  if (40 + payloadLength > available) return drop("bad-length");
  if (packet[l3 + 7] === 0) return drop("ttl-expired");
  const ip: Ip = {
    family: 6,
    l3,
    l4: l3 + 40,
    length: 40 + payloadLength,
    l4Length: payloadLength,
    protocol: packet[l3 + 6]!,
    source: packet.slice(l3 + 8, l3 + 24),
    destination: packet.slice(l3 + 24, l3 + 40),
  };
  if (ip.protocol === FRAGMENT_HEADER) return addressRule(ip, "fragment", services);
  if (EXTENSION_HEADERS.includes(ip.protocol)) return addressRule(ip, "extension-header", services);
  return parseLayer4(packet, ip, services, origins);
}

/** Rules 4, 5 and 6. */
function parseLayer4(packet: Uint8Array, ip: Ip, services: Services, origins: Origins): Parsed {
  if (ip.protocol === TCP) return parseTcp(packet, ip, services, origins);
  if (ip.protocol === UDP) return parseUdp(packet, ip, services, origins);
  if (ip.protocol === (ip.family === 4 ? ICMP : ICMPV6)) return parseIcmp(packet, ip, services);
  return pass("not-vip");
}

/** RFC 9293 §3.1. */
function parseTcp(packet: Uint8Array, ip: Ip, services: Services, origins: Origins): Parsed {
  if (ip.l4Length < 20) return drop("truncated");
  const headerLength = (packet[ip.l4 + 12]! >> 4) * 4;
  if (headerLength < 20 || headerLength > ip.l4Length) return drop("bad-header");
  return findService(packet, ip, services, origins, packet[ip.l4 + 13]!);
}

/** RFC 768. */
function parseUdp(packet: Uint8Array, ip: Ip, services: Services, origins: Origins): Parsed {
  if (ip.l4Length < 8) return drop("truncated");
  const udpLength = field(packet, ip.l4 + 4, 2);
  if (udpLength < 8 || udpLength > ip.l4Length) return drop("bad-length");
  return findService(packet, ip, services, origins, undefined);
}

function findService(
  packet: Uint8Array,
  ip: Ip,
  services: Services,
  origins: Origins,
  tcpFlags: number | undefined,
): Parsed {
  const service = services.find(ip.destination, ip.protocol, field(packet, ip.l4 + 2, 2));
  if (!service) return findOrigin(packet, ip, origins, tcpFlags);
  const tuple: Tuple = {
    ...portless(ip),
    sourcePort: packet.slice(ip.l4, ip.l4 + 2),
    destinationPort: packet.slice(ip.l4 + 2, ip.l4 + 4),
  };
  return { step: "flow", ip, service, tuple, tcpFlags };
}

/** §10: for no service, but perhaps from a backend that answers for one. The tuple is that of the client's packets. */
function findOrigin(packet: Uint8Array, ip: Ip, origins: Origins, tcpFlags: number | undefined): Parsed {
  const origin = origins.find(ip, field(packet, ip.l4, 2));
  if (!origin) return pass("not-vip");
  const { service, port } = origin;
  const tuple: Tuple = {
    source: ip.destination,
    destination: addressBytes(service.vip.address),
    sourcePort: packet.slice(ip.l4 + 2, ip.l4 + 4),
    destinationPort: Uint8Array.of(port >> 8, port & 255),
    protocol: ip.protocol,
  };
  return { step: "answer", ip, origin, service, tuple, tcpFlags };
}

/** RFC 792 (type 8), RFC 4443 §4.1 (type 128). */
function parseIcmp(packet: Uint8Array, ip: Ip, services: Services): Parsed {
  const service = services.ofAddress(ip.destination);
  if (!service) return pass("not-vip");
  const tuple = portless(ip);
  const refuse = (reason: string): Parsed => ({ step: "done", verdict: "drop", reason, service, tuple });
  if (ip.l4Length < 8) return refuse("truncated");
  const isRequest = packet[ip.l4] === (ip.family === 4 ? 8 : 128) && packet[ip.l4 + 1] === 0;
  if (!isRequest || !service.vip.echo) return refuse("icmp-unsupported");
  return { step: "echo", ip, service, tuple };
}

/** Address rule: dropped for the reason given when the destination is a VIP's, else passed. */
function addressRule(ip: Ip, reason: string, services: Services): Parsed {
  const service = services.ofAddress(ip.destination);
  if (!service) return pass("not-vip");
  return { step: "done", verdict: "drop", reason, service, tuple: portless(ip) };
}

function portless(ip: Ip): Tuple {
  const { source, destination, protocol } = ip;
  return { source, destination, sourcePort: NO_PORT, destinationPort: NO_PORT, protocol };
}
