// What each mode makes of a packet, as docs/datapath.md §5 and §11 say, from the EtherType on. It knows nothing of the engine's code.

import { addressBytes } from "../../src/config/address.ts";
import type { Config } from "../../src/config/schema.ts";
import type { Mode } from "./scenario.ts";

const TYPE = 12;
const LINK_BYTES = 14;
const IPV4_TYPE = [0x08, 0x00];
const IPV6_TYPE = [0x86, 0xdd];
const TTL = 64;
const IPV4_IN_IP = 4;
const TCP = 6;
const UDP = 17;
const IPV6_IN_IP = 41;
const GRE = 47;
const GUE_PORT = 6080;

/** Sum of 16-bit words in network order, folded (RFC 1071). */
function sumOf(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

function put(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word >> 8;
  bytes[at + 1] = word & 255;
}

/** An outer header of the backend's family. @param payload bytes behind it */
function outer(
  machine: Config["machine"],
  backend: Uint8Array,
  protocol: number,
  payload: number,
): Uint8Array {
  if (backend.length === 16) {
    const ip = Uint8Array.from([
      0x60,
      0,
      0,
      0,
      0,
      0,
      protocol,
      TTL,
      ...addressBytes(machine.address6!),
      ...backend,
    ]);
    put(ip, 4, payload);
    return ip;
  }
  const own = addressBytes(machine.address!);
  const ip = Uint8Array.from([0x45, 0, 0, 0, 0, 0, 0x40, 0, TTL, protocol, 0, 0, ...own, ...backend]);
  put(ip, 2, ip.length + payload);
  put(ip, 10, ~sumOf(ip) & 0xffff);
  return ip;
}

/** TCP over IP with the backend as its destination: checksums anew. */
function translated(packet: Uint8Array, backend: Uint8Array): Uint8Array {
  const ip = Uint8Array.from(packet);
  const v4 = backend.length === 4;
  const l4 = v4 ? 20 : 40;
  ip.set(backend, v4 ? 16 : 24);
  ip[v4 ? 8 : 7]! -= 1;
  const end = v4 ? (ip[2]! << 8) | ip[3]! : 40 + ((ip[4]! << 8) | ip[5]!);
  if (v4) {
    put(ip, 10, 0);
    put(ip, 10, ~sumOf(ip.subarray(0, 20)) & 0xffff);
  }
  put(ip, l4 + 16, 0);
  const addresses = ip.subarray(v4 ? 12 : 8, l4);
  const pseudo = [...addresses, 0, TCP, (end - l4) >> 8, (end - l4) & 255];
  put(ip, l4 + 16, ~sumOf(Uint8Array.from([...pseudo, ...ip.subarray(l4, end)])) & 0xffff);
  return ip;
}

/**
 * The frame that leaves, from the EtherType on.
 * @param received the frame that came
 * @param backend its address
 * @param sent the frame that left: what of it nobody else can know, GUE's source port, is taken from it
 */
export function expectedOf(
  mode: Mode,
  received: Uint8Array,
  backend: Uint8Array,
  machine: Config["machine"],
  sent: Uint8Array,
): Uint8Array {
  const inner = received.subarray(LINK_BYTES);
  const innerType = received.subarray(TYPE, LINK_BYTES);
  const isV4 = innerType[0] === IPV4_TYPE[0];
  const type = backend.length === 4 ? IPV4_TYPE : IPV6_TYPE;
  const wrapped = (protocol: number, between: readonly number[]) =>
    Uint8Array.from([
      ...type,
      ...outer(machine, backend, protocol, between.length + inner.length),
      ...between,
      ...inner,
    ]);
  switch (mode) {
    case "l2":
      return received.subarray(TYPE);
    case "nat":
      return Uint8Array.from([...innerType, ...translated(inner, backend)]);
    case "gre":
      return wrapped(GRE, [0, 0, ...innerType]);
    case "ipip":
      return wrapped(isV4 ? IPV4_IN_IP : IPV6_IN_IP, []);
    case "gue": {
      const at = LINK_BYTES + (backend.length === 4 ? 20 : 40);
      const length = 8 + inner.length;
      // Of the ports that are nobody's (RFC 6335): the first two bits are set.
      const port = [sent[at]! | 0xc0, sent[at + 1]!];
      return wrapped(UDP, [...port, GUE_PORT >> 8, GUE_PORT & 255, length >> 8, length & 255, 0, 0]);
    }
  }
}

/** Bytes that a mode puts between the link's header and the packet. */
export function addedBytes(mode: Mode, backend: Uint8Array): number {
  const ip = backend.length === 4 ? 20 : 40;
  return { l2: 0, nat: 0, gre: ip + 4, ipip: ip, gue: ip + 8 }[mode];
}
