// Headers of a packet, field by field, to be shown. It reads as far as it can and never fails: what a packet is worth
// is the engine's to say.

import ipaddr from "ipaddr.js";
import { macText } from "../mac.ts";

/** A field of a header. */
export interface Field {
  name: string;
  /** From the start of the packet. */
  offset: number;
  bytes: number;
  value: string;
}

/** A header, or what stands in its place: `payload`, `padding`, or what is `cut off`. */
export interface Header {
  name: string;
  /** From the start of the packet. */
  offset: number;
  bytes: number;
  fields: Field[];
}

type Show = (bytes: Uint8Array) => string;
/** Name, bytes, and how the value is shown. Fields follow each other. */
type Layout = readonly (readonly [name: string, bytes: number, show: Show])[];

const number: Show = (bytes) => String(bytes.reduce((value, byte) => value * 256 + byte, 0));
const hex: Show = (bytes) => `0x${Buffer.from(bytes).toString("hex")}`;
const address: Show = (bytes) => ipaddr.fromByteArray([...bytes]).toString();

/** A name for a number that has one. */
const named =
  (show: Show, names: Readonly<Record<string, string>>): Show =>
  (bytes) => {
    const text = show(bytes);
    return names[text] === undefined ? text : `${text} (${names[text]})`;
  };

/** The bits of a byte by letter or word, lowest first. */
const bits =
  (names: readonly string[]): Show =>
  (bytes) =>
    names.filter((_, bit) => (bytes[0]! >> bit) & 1).join(" ") || "none";

const ETHER_TYPES = {
  "0x0800": "IPv4",
  "0x0806": "ARP",
  "0x8100": "VLAN tag",
  "0x86dd": "IPv6",
  "0x88a8": "VLAN tag",
};
const PROTOCOLS = {
  1: "ICMP",
  4: "IPv4",
  6: "TCP",
  17: "UDP",
  41: "IPv6",
  44: "fragment",
  47: "GRE",
  58: "ICMPv6",
};
const etherType = named(hex, ETHER_TYPES);
const protocol = named(number, PROTOCOLS);

const ETHERNET: Layout = [
  ["destination", 6, macText],
  ["source", 6, macText],
  ["type", 2, etherType],
];
const VLAN: Layout = [
  ["tag", 2, ([a, b]) => `VLAN ${((a! & 15) << 8) | b!}, priority ${a! >> 5}`],
  ["type", 2, etherType],
];
const trafficClass = (byte: number) => `DSCP ${byte >> 2}, ECN ${byte & 3}`;
const IPV4: Layout = [
  ["version and length", 1, ([byte]) => `version ${byte! >> 4}, header of ${(byte! & 15) * 4} bytes`],
  ["service", 1, ([byte]) => trafficClass(byte!)],
  ["total length", 2, number],
  ["identification", 2, number],
  [
    "fragment",
    2,
    ([a, b]) => {
      const flags = ["", "don't fragment", "more fragments"].filter(
        (_, bit) => bit > 0 && a! & (0x80 >> bit),
      );
      return [...flags, `offset ${(((a! & 31) << 8) | b!) * 8}`].join(", ");
    },
  ],
  ["TTL", 1, number],
  ["protocol", 1, protocol],
  ["checksum", 2, hex],
  ["source", 4, address],
  ["destination", 4, address],
];
const IPV6: Layout = [
  [
    "version, class and label",
    4,
    (bytes) => {
      const word = Buffer.from(bytes).readUInt32BE();
      return `version ${word >>> 28}, ${trafficClass((word >>> 20) & 255)}, label 0x${(word & 0xfffff).toString(16)}`;
    },
  ],
  ["payload length", 2, number],
  ["next header", 1, protocol],
  ["hop limit", 1, number],
  ["source", 16, address],
  ["destination", 16, address],
];
const TCP: Layout = [
  ["source port", 2, number],
  ["destination port", 2, number],
  ["sequence", 4, number],
  ["acknowledgement", 4, number],
  ["data offset", 1, ([byte]) => `header of ${(byte! >> 4) * 4} bytes`],
  ["flags", 1, bits(["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"])],
  ["window", 2, number],
  ["checksum", 2, hex],
  ["urgent", 2, number],
];
const UDP: Layout = [
  ["source port", 2, number],
  ["destination port", 2, number],
  ["length", 2, number],
  ["checksum", 2, hex],
];
const ICMP_TYPES = { 0: "echo reply", 3: "unreachable", 8: "echo request", 11: "time exceeded" };
const ICMPV6_TYPES = {
  1: "unreachable",
  2: "packet too big",
  3: "time exceeded",
  128: "echo request",
  129: "echo reply",
};
const icmp = (types: Readonly<Record<string, string>>): Layout => [
  ["type", 1, named(number, types)],
  ["code", 1, number],
  ["checksum", 2, hex],
  ["identifier", 2, number],
  ["sequence", 2, number],
];
const GRE: Layout = [
  ["flags and version", 2, hex],
  ["protocol", 2, etherType],
];

/** A packet on the way through decodeHeaders(). */
class Decoder {
  readonly headers: Header[] = [];
  readonly #packet: Uint8Array;
  /** UDP port behind which an IP packet follows. */
  readonly guePort: number | undefined;
  at = 0;
  /** Where the innermost IP packet ends by its own header, at most the packet's end. */
  end: number;

  constructor(packet: Uint8Array, guePort: number | undefined) {
    this.#packet = packet;
    this.guePort = guePort;
    this.end = packet.length;
  }

  /** Appends a header, if the packet holds it. */
  take(name: string, layout: Layout): boolean {
    const size = layout.reduce((sum, [, bytes]) => sum + bytes, 0);
    if (this.at + size > this.end) {
      this.rest("cut off", this.end);
      return false;
    }
    const header: Header = { name, offset: this.at, bytes: size, fields: [] };
    for (const [field, bytes, show] of layout) {
      const value = show(this.#packet.subarray(this.at, this.at + bytes));
      header.fields.push({ name: field, offset: this.at, bytes, value });
      this.at += bytes;
    }
    this.headers.push(header);
    return true;
  }

  /** Appends the bytes up to `to`, if there are any. */
  rest(name: string, to: number): void {
    if (to > this.at) this.headers.push({ name, offset: this.at, bytes: to - this.at, fields: [] });
    this.at = Math.max(this.at, to);
  }

  /** The next byte, 0 at the end. */
  get ahead(): number {
    return this.at < this.end ? this.#packet[this.at]! : 0;
  }

  /** Number of `bytes` bytes, `back` bytes before where the decoder is. */
  behind(back: number, bytes: number): number {
    return this.#packet
      .subarray(this.at - back, this.at - back + bytes)
      .reduce((value, byte) => value * 256 + byte, 0);
  }
}

/**
 * The headers of a packet in order, then its payload and padding: together every byte of it.
 * @param guePort UDP port behind which an IP packet follows (GUE variant 1)
 */
export function decodeHeaders(packet: Uint8Array, guePort?: number): Header[] {
  const decoder = new Decoder(packet, guePort);
  if (decoder.take("Ethernet", ETHERNET)) {
    let type = decoder.behind(2, 2);
    while ((type === 0x8100 || type === 0x88a8) && decoder.take("VLAN", VLAN)) type = decoder.behind(2, 2);
    network(decoder, type);
  }
  decoder.rest("payload", decoder.end);
  decoder.rest("padding", packet.length);
  return decoder.headers;
}

function network(decoder: Decoder, type: number): void {
  const start = decoder.at;
  if (type === 0x0800 && decoder.take("IPv4", IPV4)) {
    const header = (decoder.behind(20, 1) & 15) * 4;
    decoder.end = Math.min(decoder.end, start + Math.max(decoder.behind(18, 2), header, 20));
    const fragment = decoder.behind(14, 2) & 0x1fff;
    const next = decoder.behind(11, 1);
    decoder.rest("options", Math.min(decoder.end, start + header));
    if (fragment === 0) transport(decoder, next);
  } else if (type === 0x86dd && decoder.take("IPv6", IPV6)) {
    decoder.end = Math.min(decoder.end, decoder.at + decoder.behind(36, 2));
    transport(decoder, decoder.behind(34, 1));
  }
}

function transport(decoder: Decoder, next: number): void {
  const start = decoder.at;
  if (next === 6 && decoder.take("TCP", TCP)) {
    decoder.rest("options", Math.min(decoder.end, start + (decoder.behind(8, 1) >> 4) * 4));
  } else if (next === 17 && decoder.take("UDP", UDP)) {
    if (decoder.behind(6, 2) === decoder.guePort)
      network(decoder, decoder.ahead >> 4 === 4 ? 0x0800 : 0x86dd);
  } else if (next === 4 || next === 41) network(decoder, next === 4 ? 0x0800 : 0x86dd);
  else if (next === 1) decoder.take("ICMP", icmp(ICMP_TYPES));
  else if (next === 58) decoder.take("ICMPv6", icmp(ICMPV6_TYPES));
  else if (next === 47 && decoder.take("GRE", GRE)) network(decoder, decoder.behind(2, 2));
}

const holds = (part: { offset: number; bytes: number }, offset: number) =>
  part.offset <= offset && offset < part.offset + part.bytes;

/** The field that a byte belongs to. */
export function fieldAt(headers: readonly Header[], offset: number): Field | undefined {
  return headers.flatMap(({ fields }) => fields).find((field) => holds(field, offset));
}

/** What to call the place of a byte: `Ethernet source`; the header's name where it has no fields. */
export function placeOf(headers: readonly Header[], offset: number): string {
  const header = headers.find((each) => holds(each, offset));
  const field = fieldAt(headers, offset);
  return [header?.name, field?.name].filter((name) => name !== undefined).join(" ");
}
