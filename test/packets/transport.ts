// TCP (RFC 9293), UDP (RFC 768), ICMP (RFC 792) and ICMPv6 (RFC 4443).

import { concat, setField } from "../model/bytes.ts";
import { checksum } from "../model/checksum.ts";
import type { Layer } from "./layer.ts";

export interface Tcp {
  sport?: number;
  dport?: number;
  seq?: number;
  ack?: number;
  /** Letters as tcpdump writes them: F S R P A (also "."), U E W; or the byte. */
  flags?: string | number;
  window?: number;
  /** A multiple of 4 bytes. */
  options?: Uint8Array;
  /** In 32-bit words. */
  dataOffset?: number;
  checksum?: number;
}

export interface Udp {
  sport?: number;
  dport?: number;
  length?: number;
  checksum?: number;
}

export interface Icmp {
  type?: number;
  code?: number;
  id?: number;
  seq?: number;
  checksum?: number;
}

const FLAGS: Record<string, number> = { F: 1, S: 2, R: 4, P: 8, A: 16, ".": 16, U: 32, E: 64, W: 128 };

export function tcpFlags(flags: string | number): number {
  if (typeof flags === "number") return flags;
  return [...flags].reduce((byte, letter) => {
    const bit = FLAGS[letter];
    if (bit === undefined) throw new Error(`not a TCP flag: ${letter}`);
    return byte | bit;
  }, 0);
}

export function tcpLayer(fields: Tcp): Layer {
  return {
    name: "tcp",
    protocol: 6,
    encode: (body, below) => {
      const options = fields.options ?? new Uint8Array(0);
      const header = new Uint8Array(20 + options.length);
      setField(header, 0, 2, fields.sport ?? 40000);
      setField(header, 2, 2, fields.dport ?? 80);
      setField(header, 4, 4, fields.seq ?? 1);
      setField(header, 8, 4, fields.ack ?? 0);
      header[12] = (fields.dataOffset ?? header.length / 4) << 4;
      header[13] = tcpFlags(fields.flags ?? "S");
      setField(header, 14, 2, fields.window ?? 65535);
      header.set(options, 20);
      const segment = concat(header, body);
      setField(segment, 16, 2, fields.checksum ?? transportChecksum(segment, 6, below));
      return segment;
    },
  };
}

export function udpLayer(fields: Udp): Layer {
  return {
    name: "udp",
    protocol: 17,
    encode: (body, below) => {
      const datagram = concat(new Uint8Array(8), body);
      setField(datagram, 0, 2, fields.sport ?? 40000);
      setField(datagram, 2, 2, fields.dport ?? 53);
      setField(datagram, 4, 2, fields.length ?? datagram.length);
      // A computed zero is sent as all ones: zero means that there is no checksum.
      setField(datagram, 6, 2, fields.checksum ?? (transportChecksum(datagram, 17, below) || 0xffff));
      return datagram;
    },
  };
}

/** An echo request unless its fields say otherwise. */
export function icmpLayer(protocol: 1 | 58, fields: Icmp): Layer {
  return {
    name: protocol === 1 ? "icmp" : "icmpv6",
    protocol,
    encode: (body, below) => {
      const message = concat(new Uint8Array(8), body);
      message[0] = fields.type ?? (protocol === 1 ? 8 : 128);
      message[1] = fields.code ?? 0;
      setField(message, 4, 2, fields.id ?? 0x1234);
      setField(message, 6, 2, fields.seq ?? 1);
      const sum = protocol === 1 ? checksum(message) : transportChecksum(message, 58, below);
      setField(message, 2, 2, fields.checksum ?? sum);
      return message;
    },
  };
}

/** Over the nearest IP header's pseudo-header and the bytes; without an IP header over the bytes alone. */
function transportChecksum(bytes: Uint8Array, protocol: number, below: readonly Layer[]): number {
  const ip = below.findLast((layer) => layer.pseudoHeader);
  return checksum(concat(ip?.pseudoHeader?.(protocol, bytes.length) ?? new Uint8Array(0), bytes));
}
