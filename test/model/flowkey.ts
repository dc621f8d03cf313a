// The two hashes of a flow: docs/datapath.md §2 (connection table) and §4 (lookup table).

import { raw } from "./bytes.ts";

const C = 0x0e9846af9b1a615dn;
const wrap = (value: bigint) => BigInt.asUintN(64, value);

/** What both hashes read: addresses and ports as bytes in network order. Without ports, they are zeros. */
export interface Tuple {
  /** 4 or 16 bytes. */
  source: Uint8Array;
  destination: Uint8Array;
  /** 2 bytes each. */
  sourcePort: Uint8Array;
  destinationPort: Uint8Array;
  protocol: number;
}

export type Secret = readonly [bigint, bigint, bigint, bigint];

export function fold(h: bigint, x: bigint): bigint {
  const product = wrap((h ^ x) * C);
  return product ^ (product >> 32n);
}

export function mix(secret: Secret, value: bigint): bigint {
  let k = value ^ secret[0];
  k ^= k >> 32n;
  k = wrap(k * C);
  k ^= k >> 32n;
  k = wrap(k * C);
  return k ^ (k >> 28n);
}

/** §2: the key of a flow in the connection table. @param wide whether the service has more than one address or port */
export function flowKey(secret: Secret, tuple: Tuple, service: number, wide: boolean): bigint {
  const ports = (raw(tuple.sourcePort) << 32n) | (BigInt(service) << 48n);
  const target = wide ? destinationWord(secret, tuple) : 0n;
  if (tuple.source.length === 4) return mix(secret, (raw(tuple.source) | ports) ^ target);
  const first = raw(tuple.source, 0, 8);
  const second = raw(tuple.source, 8, 8);
  return mix(secret, fold(fold(secret[1], first), second) ^ ports ^ target);
}

/** §2: what a wildcard's number does not say. */
function destinationWord(secret: Secret, { destination, destinationPort }: Tuple): bigint {
  const words =
    destination.length === 4 ? [raw(destination), 0n] : [raw(destination, 0, 8), raw(destination, 8, 8)];
  return [...words, raw(destinationPort)].reduce(fold, secret[2]);
}

/** §4: the 32-bit hash by which a new flow takes a slot of the lookup table. */
export function tableHash(seed: bigint, tuple: Tuple): bigint {
  const { source, destination } = tuple;
  const words =
    source.length === 4
      ? [raw(source) | (raw(destination) << 32n)]
      : [raw(source, 0, 8), raw(source, 8, 8), raw(destination, 0, 8), raw(destination, 8, 8)];
  words.push(raw(tuple.sourcePort) | (raw(tuple.destinationPort) << 16n) | (BigInt(tuple.protocol) << 32n));
  let h = words.reduce(fold, seed);
  h ^= h >> 29n;
  h = wrap(h * C);
  return h >> 32n;
}

/** §4: (hash × size) >>> 32. */
export function slotOf(hash: bigint, size: number): number {
  return Number((hash * BigInt(size)) >> 32n);
}
