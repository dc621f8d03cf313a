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
  | {
      step: "fragment";
      ip: Ip;
      /** The address service; undefined when it may be a backend's answer. */
      service: Service | undefined;
      /** Without ports. */
      tuple: Tuple;
      identification: Uint8Array;
      isFirst: boolean;
      tcpFlags: number | undefined;
    }
  | { step: "error"; ip: Ip; service: Service; tuple: Tuple; quoted: Quoted }
  | {
      step: "answer";
      ip: Ip;
      origin: Origin;
      service: Service;
      tuple: Tuple;
      tcpFlags: number | undefined;
      /** Of an ICMP error: the client's packet that it is about. */
      quoted?: Quoted;
    }
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
  if (moreFragments || fragmentOffset !== 0) {
    const identification = packet.slice(l3 + 4, l3 + 6);
    return parseFragment(packet, ip, services, origins, {
      identification,
      offset: fragmentOffset * 8,
      more: moreFragments,
    });
  }
  return parseLayer4(packet, ip, services, origins);
}

const ROUTING_HEADER = 43;
const FRAGMENT_HEADER = 44;
const AUTHENTICATION_HEADER = 51;
/** Hop-by-hop, routing, fragment, AH, destination options, mobility, HIP, shim6 (RFC 7045 §4, without ESP). */
const EXTENSION_HEADERS = [0, ROUTING_HEADER, FRAGMENT_HEADER, AUTHENTICATION_HEADER, 60, 135, 139, 140];
const MOST_EXTENSION_HEADERS = 8;
const FARTHEST_LAYER4 = 255;
/** Bytes of extension headers in a packet that an ICMP error quotes. */
const FARTHEST_QUOTED = 255;

/** Rule 3. Moves `ip` behind its extension headers. @returns why that cannot be done */
function walkExtensions(
  packet: Uint8Array,
  ip: Pick<Ip, "protocol" | "l4" | "l4Length">,
  farthest = FARTHEST_LAYER4,
): "truncated" | "extension-header" | "fragment" | undefined {
  for (let headers = 0; EXTENSION_HEADERS.includes(ip.protocol); headers++) {
    if (ip.protocol === AUTHENTICATION_HEADER || headers === MOST_EXTENSION_HEADERS)
      return "extension-header";
    if (ip.l4Length < 8) return "truncated";
    let bytes = (packet[ip.l4 + 1]! + 1) * 8;
    if (ip.protocol === FRAGMENT_HEADER) {
      bytes = 8;
      const offset = field(packet, ip.l4 + 2, 2) >> 3;
      const more = packet[ip.l4 + 3]! & 1;
      if (offset !== 0 || more !== 0) return "fragment";
    }
    if (ip.protocol === ROUTING_HEADER && packet[ip.l4 + 3] !== 0) return "extension-header";
    if (ip.l4Length < bytes) return "truncated";
    if (ip.l4 + bytes > farthest) return "extension-header";
    ip.protocol = packet[ip.l4]!;
    ip.l4 += bytes;
    ip.l4Length -= bytes;
  }
  return undefined;
}

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
  const obstacle = walkExtensions(packet, ip);
  if (obstacle === "truncated") return drop(obstacle);
  if (obstacle === "fragment") return parseFragment6(packet, ip, services, origins);
  if (obstacle) return addressRule(ip, obstacle, services);
  return parseLayer4(packet, ip, services, origins);
}

/** RFC 8200 §4.5. */
function parseFragment6(packet: Uint8Array, ip: Ip, services: Services, origins: Origins): Parsed {
  const header = ip.l4;
  ip.protocol = packet[header]!;
  ip.l4 += 8;
  ip.l4Length -= 8;
  if (ip.l4 > FARTHEST_LAYER4 || EXTENSION_HEADERS.includes(ip.protocol)) {
    return addressRule(ip, "extension-header", services);
  }
  return parseFragment(packet, ip, services, origins, {
    identification: packet.slice(header + 4, header + 8),
    offset: field(packet, header + 2, 2) & 0xfff8,
    more: (packet[header + 3]! & 1) !== 0,
  });
}

interface Fragment {
  identification: Uint8Array;
  /** Bytes. */
  offset: number;
  more: boolean;
}

/** §10: the checks of a fragment. */
function parseFragment(
  packet: Uint8Array,
  ip: Ip,
  services: Services,
  origins: Origins,
  fragment: Fragment,
): Parsed {
  const service = services.ofAddress(ip.destination);
  if (!service && !origins.sends(ip)) return pass("not-vip");
  const tuple = portless(ip);
  const refuse = (reason: string): Parsed => {
    return { step: "done", verdict: "drop", reason, tuple, ...(service && { service }) };
  };
  if (ip.protocol !== TCP && ip.protocol !== UDP) return refuse("fragment");
  const { offset, more, identification } = fragment;
  if (ip.l4Length === 0 || (more && ip.l4Length % 8 !== 0)) return refuse("bad-length");
  if (offset + ip.l4Length > 65535) return refuse("bad-length");
  const isTcp = ip.protocol === TCP;
  const isFirst = offset === 0;
  if (isFirst) {
    if (ip.l4Length < (isTcp ? 20 : 8)) return refuse("fragment-tiny");
    const headerLength = isTcp ? (packet[ip.l4 + 12]! >> 4) * 4 : 8;
    if (headerLength < 20 && isTcp) return refuse("bad-header");
    if (headerLength > ip.l4Length) return refuse("fragment-tiny");
    if (!isTcp && field(packet, ip.l4 + 4, 2) < 8) return refuse("bad-length");
  } else if (isTcp && offset < 20) {
    return refuse("fragment-tiny");
  }
  const tcpFlags = isTcp ? (isFirst ? packet[ip.l4 + 13]! : 0) : undefined;
  return { step: "fragment", ip, service, tuple, identification, isFirst, tcpFlags };
}

/** Rules 4, 5 and 6. */
function parseLayer4(packet: Uint8Array, ip: Ip, services: Services, origins: Origins): Parsed {
  if (ip.protocol === TCP) return parseTcp(packet, ip, services, origins);
  if (ip.protocol === UDP) return parseUdp(packet, ip, services, origins);
  if (ip.protocol === (ip.family === 4 ? ICMP : ICMPV6)) return parseIcmp(packet, ip, services, origins);
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

/** §11: for no service, but perhaps from a backend that answers for one. */
function findOrigin(packet: Uint8Array, ip: Ip, origins: Origins, tcpFlags: number | undefined): Parsed {
  const bytes = (from: number) => packet.slice(ip.l4 + from, ip.l4 + from + 2);
  const ports = { sourcePort: bytes(0), destinationPort: bytes(2) };
  return answerOf(ip, origins, ports, tcpFlags) ?? pass("not-vip");
}

/** A packet of a backend that answers, or undefined. The tuple is that of the client's packets. */
export function answerOf(
  ip: Ip,
  origins: Origins,
  { sourcePort, destinationPort }: Pick<Tuple, "sourcePort" | "destinationPort">,
  tcpFlags: number | undefined,
): Extract<Parsed, { step: "answer" }> | undefined {
  const origin = origins.find(ip, field(sourcePort, 0, 2));
  if (!origin) return undefined;
  const tuple = clientsTuple(ip, origin, ip.protocol, destinationPort);
  return { step: "answer", ip, origin, service: origin.service, tuple, tcpFlags };
}

/** Of the packets that a client, to which `ip` goes, sends for what an origin answers. */
function clientsTuple(ip: Ip, { service, port }: Origin, protocol: number, sourcePort: Uint8Array): Tuple {
  const destination = addressBytes(service.vip.address);
  const destinationPort = Uint8Array.of(port >> 8, port & 255);
  return { source: ip.destination, destination, sourcePort, destinationPort, protocol };
}

/** RFC 792 (type 8), RFC 4443 §4.1 (type 128). */
function parseIcmp(packet: Uint8Array, ip: Ip, services: Services, origins: Origins): Parsed {
  const service = services.ofAddress(ip.destination);
  if (!service) return findQuotedOrigin(packet, ip, origins);
  const tuple = portless(ip);
  const refuse = (reason: string): Parsed => ({ step: "done", verdict: "drop", reason, service, tuple });
  if (ip.l4Length < 8) return refuse("truncated");
  const isRequest = packet[ip.l4] === (ip.family === 4 ? 8 : 128) && packet[ip.l4 + 1] === 0;
  if (isRequest && service.vip.echo) return { step: "echo", ip, service, tuple };
  const quoted = quotedPacket(packet, ip);
  const isOfVip = quoted && Buffer.compare(quoted.source, ip.destination) === 0;
  const flow = isOfVip && services.find(ip.destination, quoted.protocol, field(packet, quoted.l4, 2));
  if (!flow) return refuse("icmp-unsupported");
  // The flow is that of the client's packets, so the other way round than the packet that is quoted.
  const flowTuple: Tuple = {
    source: quoted.destination,
    destination: quoted.source,
    sourcePort: packet.slice(quoted.l4 + 2, quoted.l4 + 4),
    destinationPort: packet.slice(quoted.l4, quoted.l4 + 2),
    protocol: quoted.protocol,
  };
  return { step: "error", ip, service: flow, tuple: flowTuple, quoted };
}

/** §11: for no VIP, but perhaps about a packet that a client has sent to one. */
function findQuotedOrigin(packet: Uint8Array, ip: Ip, origins: Origins): Parsed {
  const quoted = ip.l4Length < 8 ? undefined : quotedPacket(packet, ip);
  const origin = quoted && origins.findQuoted(ip, quoted, field(packet, quoted.l4 + 2, 2));
  if (!origin) return pass("not-vip");
  const tuple = clientsTuple(ip, origin, quoted.protocol, packet.slice(quoted.l4, quoted.l4 + 2));
  return { step: "answer", ip, origin, service: origin.service, tuple, tcpFlags: undefined, quoted };
}

/** Types of messages that quote a packet: RFC 792, RFC 4443 §3. */
const ERRORS = { 4: [3, 11, 12], 6: [1, 2, 3, 4] };

/** The packet that an ICMP error is about, if its ports are there. */
function quotedPacket(packet: Uint8Array, message: Ip): Quoted | undefined {
  if (!ERRORS[message.family].includes(packet[message.l4]!)) return undefined;
  const at = message.l4 + 8;
  const end = message.l4 + message.l4Length;
  const quoted = message.family === 4 ? quotedIpv4(packet, at, end) : quotedIpv6(packet, at, end);
  if (!quoted || ![TCP, UDP].includes(quoted.protocol) || end - quoted.l4 < 8) return undefined;
  return quoted;
}

/** A packet that an ICMP error quotes. */
export type Quoted = Pick<Ip, "protocol" | "source" | "destination" | "l3" | "l4">;

function quotedIpv4(packet: Uint8Array, at: number, end: number): Quoted | undefined {
  if (end - at < 20) return undefined;
  const headerLength = (packet[at]! & 15) * 4;
  const isLaterFragment = (field(packet, at + 6, 2) & 0x1fff) !== 0;
  if (packet[at]! >> 4 !== 4 || headerLength < 20 || isLaterFragment) return undefined;
  return {
    protocol: packet[at + 9]!,
    source: packet.slice(at + 12, at + 16),
    destination: packet.slice(at + 16, at + 20),
    l3: at,
    l4: at + headerLength,
  };
}

function quotedIpv6(packet: Uint8Array, at: number, end: number): Quoted | undefined {
  if (end - at < 40 || packet[at]! >> 4 !== 6) return undefined;
  const next = { protocol: packet[at + 6]!, l4: at + 40, l4Length: end - at - 40 };
  const obstacle = walkExtensions(packet, next, at + 40 + FARTHEST_QUOTED);
  if (obstacle === "fragment" && field(packet, next.l4 + 2, 2) >> 3 === 0) {
    next.protocol = packet[next.l4]!;
    next.l4 += 8;
  } else if (obstacle) {
    return undefined;
  }
  const source = packet.slice(at + 8, at + 24);
  const destination = packet.slice(at + 24, at + 40);
  return { protocol: next.protocol, source, destination, l3: at, l4: next.l4 };
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
