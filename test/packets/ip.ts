// IPv4 (RFC 791), IPv6 and its extension headers (RFC 8200).

import { addressBytes, concat, setField } from "../model/bytes.ts";
import { checksum } from "../model/checksum.ts";
import type { Layer } from "./layer.ts";

export interface Ipv4 {
  src: string;
  dst: string;
  ttl?: number;
  /** DSCP and ECN, as one byte. */
  tos?: number;
  id?: number;
  /** Don't fragment; set unless given. */
  df?: boolean;
  moreFragments?: boolean;
  /** In units of 8 bytes. */
  fragmentOffset?: number;
  /** A multiple of 4 bytes. */
  options?: Uint8Array;
  protocol?: number;
  version?: number;
  /** In 32-bit words. */
  ihl?: number;
  totalLength?: number;
  checksum?: number;
}

export interface Ipv6 {
  src: string;
  dst: string;
  hopLimit?: number;
  trafficClass?: number;
  flowLabel?: number;
  nextHeader?: number;
  payloadLength?: number;
  version?: number;
}

export interface ExtensionHeader {
  /** Its own number: what the header in front of it says. */
  type: number;
  nextHeader?: number;
  /** What stands behind its two first bytes: 6 bytes more than a multiple of 8. */
  content?: Uint8Array;
  /** In units of 8 bytes, besides the first. */
  length?: number;
}

export interface FragmentHeader {
  nextHeader?: number;
  /** In units of 8 bytes. */
  offset?: number;
  more?: boolean;
  id?: number;
}

/** 253 is for experiments (RFC 3692 §2.1), 59 says that nothing follows (RFC 8200 §4.7). */
const EXPERIMENTAL = 253;
const NO_NEXT_HEADER = 59;

export function ipv4Layer(fields: Ipv4): Layer {
  const options = fields.options ?? new Uint8Array(0);
  return {
    name: "ipv4",
    etherType: 0x0800,
    protocol: 4,
    pseudoHeader: (protocol, length) => {
      const tail = Uint8Array.of(0, protocol, length >> 8, length & 255);
      return concat(addressBytes(fields.src), addressBytes(fields.dst), tail);
    },
    encode: (body, _below, above) => {
      const header = new Uint8Array(20 + options.length);
      header[0] = ((fields.version ?? 4) << 4) | (fields.ihl ?? header.length / 4);
      header[1] = fields.tos ?? 0;
      setField(header, 2, 2, fields.totalLength ?? header.length + body.length);
      setField(header, 4, 2, fields.id ?? 0);
      const flags = ((fields.df ?? true) ? 0x4000 : 0) | (fields.moreFragments ? 0x2000 : 0);
      setField(header, 6, 2, flags | (fields.fragmentOffset ?? 0));
      header[8] = fields.ttl ?? 64;
      header[9] = fields.protocol ?? above?.protocol ?? EXPERIMENTAL;
      header.set(addressBytes(fields.src), 12);
      header.set(addressBytes(fields.dst), 16);
      header.set(options, 20);
      setField(header, 10, 2, fields.checksum ?? checksum(header));
      return concat(header, body);
    },
  };
}

export function ipv6Layer(fields: Ipv6): Layer {
  return {
    name: "ipv6",
    etherType: 0x86dd,
    protocol: 41,
    pseudoHeader: (protocol, length) => {
      const tail = new Uint8Array(8);
      setField(tail, 0, 4, length);
      tail[7] = protocol;
      return concat(addressBytes(fields.src), addressBytes(fields.dst), tail);
    },
    encode: (body, _below, above) => {
      const header = new Uint8Array(40);
      const version = (fields.version ?? 6) * 2 ** 28;
      setField(header, 0, 4, version + (fields.trafficClass ?? 0) * 2 ** 20 + (fields.flowLabel ?? 0));
      setField(header, 4, 2, fields.payloadLength ?? body.length);
      header[6] = fields.nextHeader ?? above?.protocol ?? NO_NEXT_HEADER;
      header[7] = fields.hopLimit ?? 64;
      header.set(addressBytes(fields.src), 8);
      header.set(addressBytes(fields.dst), 24);
      return concat(header, body);
    },
  };
}

/** Unless it says otherwise, 8 bytes: next header, length 0, and PadN of 4 (RFC 8200 §4.2), which most types tolerate. */
export function extensionLayer(fields: ExtensionHeader): Layer {
  return {
    name: "extension",
    protocol: fields.type,
    encode: (body, _below, above) => {
      const next = fields.nextHeader ?? above?.protocol ?? NO_NEXT_HEADER;
      const content = fields.content ?? Uint8Array.of(1, fields.type === 43 ? 0 : 4, 0, 0, 0, 0);
      return concat(Uint8Array.of(next, fields.length ?? (content.length - 6) / 8), content, body);
    },
  };
}

/** RFC 8200 §4.5. */
export function fragmentLayer(fields: FragmentHeader): Layer {
  return {
    name: "fragment",
    protocol: 44,
    encode: (body, _below, above) => {
      const header = new Uint8Array(8);
      header[0] = fields.nextHeader ?? above?.protocol ?? NO_NEXT_HEADER;
      setField(header, 2, 2, ((fields.offset ?? 0) << 3) | (fields.more ? 1 : 0));
      setField(header, 4, 4, fields.id ?? 0);
      return concat(header, body);
    },
  };
}
