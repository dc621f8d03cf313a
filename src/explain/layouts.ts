// Headers as data: their fields in order, and how each is shown.

import ipaddr from "ipaddr.js";
import { macText } from "../mac.ts";

type Show = (bytes: Uint8Array) => string;
/** Name, bytes, and how the value is shown. Fields follow each other. */
export type Layout = readonly (readonly [name: string, bytes: number, show: Show])[];

export const number: Show = (bytes) => String(bytes.reduce((value, byte) => value * 256 + byte, 0));
export const hex: Show = (bytes) => `0x${Buffer.from(bytes).toString("hex")}`;
const address: Show = (bytes) => ipaddr.fromByteArray([...bytes]).toString();

/** A name for a number that has one. */
export const named =
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
export const FRAGMENT_HEADER = 44;
/** IPv6 extension headers that begin alike (RFC 6564). */
export const EXTENSIONS: Readonly<Record<number, string>> = {
  0: "hop-by-hop options",
  43: "routing",
  60: "destination options",
  135: "mobility",
  139: "host identity",
  140: "shim6",
};
const PROTOCOLS: Readonly<Record<number, string>> = {
  1: "ICMP",
  4: "IPv4",
  6: "TCP",
  17: "UDP",
  41: "IPv6",
  [FRAGMENT_HEADER]: "fragment",
  47: "GRE",
  50: "ESP",
  51: "authentication",
  58: "ICMPv6",
  59: "nothing follows",
};
const etherType = named(hex, ETHER_TYPES);
const protocol = named(number, PROTOCOLS);
const nextHeader = named(number, { ...PROTOCOLS, ...EXTENSIONS });

export const ETHERNET: Layout = [
  ["destination", 6, macText],
  ["source", 6, macText],
  ["type", 2, etherType],
];
export const VLAN: Layout = [
  ["tag", 2, ([a, b]) => `VLAN ${((a! & 15) << 8) | b!}, priority ${a! >> 5}`],
  ["type", 2, etherType],
];
const trafficClass = (byte: number) => `DSCP ${byte >> 2}, ECN ${byte & 3}`;
export const IPV4: Layout = [
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
export const IPV6: Layout = [
  [
    "version, class and label",
    4,
    (bytes) => {
      const word = Buffer.from(bytes).readUInt32BE();
      return `version ${word >>> 28}, ${trafficClass((word >>> 20) & 255)}, label 0x${(word & 0xfffff).toString(16)}`;
    },
  ],
  ["payload length", 2, number],
  ["next header", 1, nextHeader],
  ["hop limit", 1, number],
  ["source", 16, address],
  ["destination", 16, address],
];
export const EXTENSION: Layout = [
  ["next header", 1, nextHeader],
  ["length", 1, ([units]) => `${8 + units! * 8} bytes`],
];
export const FRAGMENT: Layout = [
  ["next header", 1, nextHeader],
  ["reserved", 1, number],
  ["fragment", 2, ([a, b]) => `offset ${(a! << 8) | (b! & 0xf8)}${b! & 1 ? ", more fragments" : ""}`],
  ["identification", 4, hex],
];
export const TCP: Layout = [
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
export const UDP: Layout = [
  ["source port", 2, number],
  ["destination port", 2, number],
  ["length", 2, number],
  ["checksum", 2, hex],
];
/** A kind of ICMP message: its codes, its second four bytes, and whether it quotes a packet. */
export interface IcmpKind {
  name: string;
  codes?: Readonly<Record<number, string>>;
  rest: Layout;
  quotes?: true;
}
const ECHO: Layout = [
  ["identifier", 2, number],
  ["sequence", 2, number],
];
const UNUSED: Layout = [["unused", 4, hex]];
/** RFC 792; the MTU by RFC 1191 §4. */
export const ICMP: Readonly<Record<number, IcmpKind>> = {
  0: { name: "echo reply", rest: ECHO },
  3: {
    name: "unreachable",
    codes: { 0: "network", 1: "host", 2: "protocol", 3: "port", 4: "fragmentation needed" },
    rest: [
      ["unused", 2, hex],
      ["next-hop MTU", 2, number],
    ],
    quotes: true,
  },
  5: { name: "redirect", rest: [["gateway", 4, address]], quotes: true },
  8: { name: "echo request", rest: ECHO },
  11: { name: "time exceeded", codes: { 0: "TTL", 1: "reassembly" }, rest: UNUSED, quotes: true },
  12: {
    name: "parameter problem",
    rest: [
      ["pointer", 1, number],
      ["unused", 3, hex],
    ],
    quotes: true,
  },
};
/** RFC 4443. */
export const ICMPV6: Readonly<Record<number, IcmpKind>> = {
  1: {
    name: "unreachable",
    codes: { 0: "no route", 1: "prohibited", 3: "address", 4: "port" },
    rest: UNUSED,
    quotes: true,
  },
  2: { name: "packet too big", rest: [["MTU", 4, number]], quotes: true },
  3: { name: "time exceeded", codes: { 0: "hop limit", 1: "reassembly" }, rest: UNUSED, quotes: true },
  4: { name: "parameter problem", rest: [["pointer", 4, number]], quotes: true },
  128: { name: "echo request", rest: ECHO },
  129: { name: "echo reply", rest: ECHO },
};
export const GRE: Layout = [
  ["flags and version", 2, hex],
  ["protocol", 2, etherType],
];
