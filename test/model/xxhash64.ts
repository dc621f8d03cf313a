// xxHash64, written from its specification (github.com/Cyan4973/xxHash, doc/xxhash_spec.md, XXH64).

import { raw } from "./bytes.ts";

const MASK = (1n << 64n) - 1n;
const P1 = 0x9e3779b185ebca87n;
const P2 = 0xc2b2ae3d27d4eb4fn;
const P3 = 0x165667b19e3779f9n;
const P4 = 0x85ebca77c2b2ae63n;
const P5 = 0x27d4eb2f165667c5n;

const wrap = (value: bigint) => value & MASK;
const rotl = (value: bigint, bits: bigint) => wrap(value << bits) | (value >> (64n - bits));
const round = (acc: bigint, lane: bigint) => wrap(rotl(wrap(acc + lane * P2), 31n) * P1);
const merge = (acc: bigint, lane: bigint) => wrap((acc ^ round(0n, lane)) * P1 + P4);

export function xxHash64(bytes: Uint8Array, seed: bigint): bigint {
  let at = 0;
  let acc: bigint;
  if (bytes.length < 32) {
    acc = wrap(seed + P5);
  } else {
    let a = wrap(seed + P1 + P2);
    let b = wrap(seed + P2);
    let c = wrap(seed);
    let d = wrap(seed - P1);
    for (; at + 32 <= bytes.length; at += 32) {
      a = round(a, raw(bytes, at, 8));
      b = round(b, raw(bytes, at + 8, 8));
      c = round(c, raw(bytes, at + 16, 8));
      d = round(d, raw(bytes, at + 24, 8));
    }
    acc = wrap(rotl(a, 1n) + rotl(b, 7n) + rotl(c, 12n) + rotl(d, 18n));
    for (const lane of [a, b, c, d]) acc = merge(acc, lane);
  }
  acc = wrap(acc + BigInt(bytes.length));
  for (; at + 8 <= bytes.length; at += 8) {
    acc = wrap(rotl(acc ^ round(0n, raw(bytes, at, 8)), 27n) * P1 + P4);
  }
  for (; at + 4 <= bytes.length; at += 4) {
    acc = wrap(rotl(acc ^ wrap(raw(bytes, at, 4) * P1), 23n) * P2 + P3);
  }
  for (; at < bytes.length; at++) acc = wrap(rotl(acc ^ wrap(BigInt(bytes[at]!) * P5), 11n) * P1);
  acc = wrap((acc ^ (acc >> 33n)) * P2);
  acc = wrap((acc ^ (acc >> 29n)) * P3);
  return acc ^ (acc >> 32n);
}
