// A packet from a line of text: `tcp 192.0.2.1:40000 > 10.99.0.1:80`, or from hexadecimal digits.

import { addressBytes, addressFamily, canonicalAddress } from "../config/address.ts";
import { GuidewayError } from "../errors.ts";

const FORMS = [
  "tcp 192.0.2.1:40000 > 10.99.0.1:80",
  "udp [2001:db8::1]:40000 > [2001:db8::2]:53",
  "icmp 192.0.2.1 > 10.99.0.1",
];
const PROTOCOLS = { tcp: 6, udp: 17, icmp: 1 } as const;
const ICMPV6 = 58;
const HOP_LIMIT = 64;
/** Bytes of a packet that no Ethernet device sends: a mistake in the hex. */
const MAX_BYTES = 65_535;

interface Endpoint {
  address: string;
  /** 0 for ICMP. */
  port: number;
}

export interface Flow {
  protocol: keyof typeof PROTOCOLS;
  source: Endpoint;
  destination: Endpoint;
}

function refuse(what: string, cause: string): GuidewayError {
  return new GuidewayError("USAGE", `${what}: ${cause}`, { exitCode: 2 });
}

/** Reads a flow. @throws GuidewayError USAGE that says which part is wrong and what was expected */
export function parseFlow(text: string): Flow {
  const fail = (cause: string) => refuse(`--flow ${JSON.stringify(text)}`, cause);
  const match = /^\s*(\S+)\s+([^\s>]+)\s*>\s*([^\s>]+)\s*$/.exec(text);
  if (!match) throw fail(`expected PROTOCOL SOURCE > DESTINATION, such as "${FORMS.join('", "')}"`);
  const protocol = match[1]!.toLowerCase();
  if (!Object.hasOwn(PROTOCOLS, protocol))
    throw fail(`protocol ${JSON.stringify(match[1])} is not known, expected tcp, udp or icmp`);
  const ports = protocol !== "icmp";
  const [source, destination] = [
    parseEndpoint(match[2]!, ports, "source", fail),
    parseEndpoint(match[3]!, ports, "destination", fail),
  ];
  const families = [source, destination].map(({ address }) => addressFamily(address));
  if (families[0] !== families[1])
    throw fail(`the source is IPv${families[0]} and the destination IPv${families[1]}, expected one family`);
  return { protocol: protocol as Flow["protocol"], source, destination };
}

/** `address:port` or `[IPv6 address]:port`; without ports a bare address, brackets or not. */
function parseEndpoint(
  text: string,
  ports: boolean,
  which: string,
  fail: (cause: string) => Error,
): Endpoint {
  const shown = `${which} ${JSON.stringify(text)}`;
  const match = /^(?:\[([^\]]*)\]|([^[\]]*?))(?::([^:\]]*))?$/.exec(text);
  const bare = canonicalAddress(text);
  if (bare !== undefined) {
    if (!ports) return { address: bare, port: 0 };
    const example = addressFamily(bare) === 6 ? `[${bare}]:80` : `${bare}:80`;
    throw fail(`${shown} has no port, expected one, such as ${example}`);
  }
  const inner = match?.[1] ?? match?.[2] ?? "";
  const address = canonicalAddress(inner);
  if (match === null || address === undefined)
    throw fail(`${shown} has no address, expected IPv4, or IPv6 in brackets`);
  if (addressFamily(address) === 6 && match[1] === undefined)
    throw fail(`${shown} is ambiguous, expected brackets: [${address}]:${match[3] ?? 80}`);
  if (addressFamily(address) === 4 && match[1] !== undefined)
    throw fail(`${shown} has an IPv4 address in brackets, expected ${address}${ports ? ":80" : ""}`);
  if (!ports) {
    if (match[3] !== undefined) throw fail(`${shown} has a port, and ICMP has none`);
    return { address, port: 0 };
  }
  if (match[3] === undefined) throw fail(`${shown} has no port, expected one, such as ${match[0]}:80`);
  const port = Number(match[3]);
  if (!/^\d{1,5}$/.test(match[3]) || port > 65535)
    throw fail(`${shown} has port ${JSON.stringify(match[3])}, expected a number from 0 to 65535`);
  return { address, port };
}

/** Reads a packet: hexadecimal digits, blanks and colons between bytes. @throws GuidewayError USAGE */
export function parsePacket(text: string): Uint8Array {
  const fail = (cause: string) => refuse("--packet", cause);
  const bad = /[^0-9a-f\s:]/i.exec(text);
  if (bad)
    throw fail(
      `character ${bad.index + 1} is ${JSON.stringify(bad[0])}, expected hexadecimal digits, blanks and colons`,
    );
  const digits = text.replaceAll(/[\s:]/g, "");
  if (digits.length === 0) throw fail("it is empty, expected an Ethernet frame in hexadecimal digits");
  if (digits.length % 2 === 1) throw fail(`it has ${digits.length} digits, expected an even number`);
  if (digits.length > 2 * MAX_BYTES)
    throw fail(`it has ${digits.length / 2} bytes, expected at most ${MAX_BYTES}`);
  return Uint8Array.from(Buffer.from(digits, "hex"));
}

/** The internet checksum of big-endian 16-bit words (RFC 1071). */
function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) sum += (part[i]! << 8) | (part[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** The first packet of a flow: SYN, an empty datagram, or an echo request. @param destination, source MAC addresses */
export function flowPacket(
  { protocol, source, destination }: Flow,
  macs: { source: Uint8Array; destination: Uint8Array },
): Uint8Array {
  const family = addressFamily(source.address);
  const number = protocol === "icmp" && family === 6 ? ICMPV6 : PROTOCOLS[protocol];
  const addresses = [addressBytes(source.address), addressBytes(destination.address)];
  const body = transport(protocol, family, source.port, destination.port);
  const pseudo = Buffer.concat([...addresses, Uint8Array.of(0, number, 0, body.length)]);
  const sum = number === PROTOCOLS.icmp ? checksum(body) : checksum(pseudo, body);
  // In UDP 0 says that there is no checksum (RFC 768).
  body.writeUInt16BE(protocol === "udp" && sum === 0 ? 0xffff : sum, { tcp: 16, udp: 6, icmp: 2 }[protocol]);
  const ip = Buffer.alloc(family === 4 ? 12 : 8);
  if (family === 4) {
    ip.set([0x45, 0, 0, 20 + body.length, 0, 0, 0x40, 0, HOP_LIMIT, number]);
    ip.writeUInt16BE(checksum(ip, ...addresses), 10);
  } else {
    ip.set([0x60, 0, 0, 0, 0, body.length, number, HOP_LIMIT]);
  }
  const type = family === 4 ? Uint8Array.of(0x08, 0x00) : Uint8Array.of(0x86, 0xdd);
  return Uint8Array.from(Buffer.concat([macs.destination, macs.source, type, ip, ...addresses, body]));
}

function transport(protocol: Flow["protocol"], family: 4 | 6, sport: number, dport: number): Buffer {
  const body = Buffer.alloc(protocol === "tcp" ? 20 : 8);
  if (protocol === "icmp") {
    body.set([family === 4 ? 8 : 128, 0, 0, 0, 0, 1, 0, 1]);
    return body;
  }
  body.writeUInt16BE(sport, 0);
  body.writeUInt16BE(dport, 2);
  if (protocol === "udp") body.writeUInt16BE(8, 4);
  else body.set([0x50, 0x02, 0xff, 0xff], 12);
  return body;
}
