// docs/datapath.md §5: packets that are too big for the way to their backend.

import { concat, field, setField } from "./bytes.ts";
import { checksum } from "./checksum.ts";
import type { Secret } from "./flowkey.ts";
import type { Ip } from "./parse.ts";
import { TCP, UDP } from "./services.ts";

/** MTU that every link has: RFC 791 §3.2, RFC 8200 §5. */
export const LEAST_MTU = { 4: 68, 6: 1280 } as const;

/** Whether routers may not fragment it. */
export function mustBeWhole(packet: Uint8Array, ip: Ip): boolean {
  return ip.family === 6 || (packet[ip.l3 + 6]! & 0x40) !== 0;
}

/** The frame that tells the sender of a packet how big its packets may be, back to whom it came from. */
export function tooBigReply(packet: Uint8Array, ip: Ip, mtu: number): Uint8Array {
  const ethernet = concat(packet.slice(6, 12), packet.slice(0, 6), packet.slice(12, ip.l3));
  const inner = packet.slice(ip.l3, ip.l3 + ip.length);
  return concat(
    ethernet,
    ip.family === 4 ? fragmentationNeeded(ip, inner, mtu) : packetTooBig(ip, inner, mtu),
  );
}

/** RFC 792, RFC 1191 §4; at most 576 bytes (RFC 1812 §4.3.2.3), with precedence 6 (§4.3.2.5). */
function fragmentationNeeded(ip: Ip, inner: Uint8Array, mtu: number): Uint8Array {
  const message = concat(new Uint8Array(8), inner.slice(0, 576 - 28));
  message[0] = 3;
  message[1] = 4;
  setField(message, 6, 2, mtu);
  setField(message, 2, 2, checksum(message));
  const header = new Uint8Array(20);
  header[0] = 0x45;
  header[1] = 0xc0;
  setField(header, 2, 2, 20 + message.length);
  setField(header, 6, 2, 0x4000);
  header[8] = 64;
  header[9] = 1;
  header.set(ip.destination, 12);
  header.set(ip.source, 16);
  setField(header, 10, 2, checksum(header));
  return concat(header, message);
}

/** RFC 4443 §3.2; at most 1280 bytes. */
function packetTooBig(ip: Ip, inner: Uint8Array, mtu: number): Uint8Array {
  const message = concat(new Uint8Array(8), inner.slice(0, 1280 - 48));
  message[0] = 2;
  setField(message, 4, 4, mtu);
  const pseudo = new Uint8Array(8);
  setField(pseudo, 0, 4, message.length);
  pseudo[7] = 58;
  setField(message, 2, 2, checksum(concat(ip.destination, ip.source, pseudo, message)));
  const header = new Uint8Array(40);
  header[0] = 0x60;
  setField(header, 4, 2, message.length);
  header[6] = 58;
  header[7] = 64;
  header.set(ip.destination, 8);
  header.set(ip.source, 24);
  return concat(header, message);
}

/** Identifications of packets that are sent in fragments: a count for each shard. */
export class Identifications {
  readonly #secret: bigint;
  readonly #counts = new Map<bigint, bigint>();

  constructor(secret: Secret) {
    this.#secret = secret[3];
  }

  /** @param bits of the field: 16 or 32 */
  next(key: bigint, bits: 16 | 32): number {
    const shard = key & 255n;
    const count = this.#counts.get(shard) ?? 0n;
    this.#counts.set(shard, count + 1n);
    const number = (shard << BigInt(bits - 8)) + count;
    return Number(BigInt.asUintN(bits, number ^ this.#secret));
  }
}

/** An outer packet in pieces: RFC 791 §3.2, RFC 8200 §4.5. Undefined when the MTU has no room for one. */
export function fragments(outer: Uint8Array, mtu: number, identification: number): Uint8Array[] | undefined {
  const v4 = outer[0]! >> 4 === 4;
  const piece = Math.floor((mtu - (v4 ? 20 : 48)) / 8) * 8;
  if (piece <= 0) return undefined;
  const header = outer.slice(0, v4 ? 20 : 40);
  const payload = outer.slice(header.length);
  const count = Math.ceil(payload.length / piece);
  return Array.from({ length: count }, (_, i) => {
    const part = payload.slice(i * piece, (i + 1) * piece);
    const place = { offset: (i * piece) / 8, more: i < count - 1, identification };
    return v4 ? ipv4Fragment(header, part, place) : ipv6Fragment(header, part, place);
  });
}

interface Place {
  /** In units of 8 bytes. */
  offset: number;
  more: boolean;
  identification: number;
}

function ipv4Fragment(header: Uint8Array, part: Uint8Array, place: Place): Uint8Array {
  const own = header.slice();
  setField(own, 2, 2, 20 + part.length);
  setField(own, 4, 2, place.identification);
  setField(own, 6, 2, (place.more ? 0x2000 : 0) + place.offset);
  setField(own, 10, 2, 0);
  setField(own, 10, 2, checksum(own));
  return concat(own, part);
}

function ipv6Fragment(header: Uint8Array, part: Uint8Array, place: Place): Uint8Array {
  const own = header.slice();
  const fragment = new Uint8Array(8);
  fragment[0] = own[6]!;
  setField(fragment, 2, 2, place.offset * 8 + (place.more ? 1 : 0));
  setField(fragment, 4, 4, place.identification);
  own[6] = 44;
  setField(own, 4, 2, 8 + part.length);
  return concat(own, fragment, part);
}

/** Whether its sender may be told: it carries the beginning of TCP or UDP. */
export function mayBeAnswered(packet: Uint8Array, ip: Ip): boolean {
  const isFirst = ip.family === 6 || (field(packet, ip.l3 + 6, 2) & 0x1fff) === 0;
  return isFirst && (ip.protocol === TCP || ip.protocol === UDP);
}
