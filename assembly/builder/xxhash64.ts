// xxHash64 (github.com/Cyan4973/xxHash, doc/xxhash_spec.md, "XXH64 algorithm").

const P1: u64 = 0x9e3779b185ebca87;
const P2: u64 = 0xc2b2ae3d27d4eb4f;
const P3: u64 = 0x165667b19e3779f9;
const P4: u64 = 0x85ebca77c2b2ae63;
const P5: u64 = 0x27d4eb2f165667c5;

const STRIPE: u32 = 32;

function round(accumulator: u64, lane: u64): u64 {
  return rotl(accumulator + lane * P2, 31) * P1;
}

function merge(hash: u64, accumulator: u64): u64 {
  return (hash ^ round(0, accumulator)) * P1 + P4;
}

function avalanche(hash: u64): u64 {
  hash = (hash ^ (hash >>> 33)) * P2;
  hash = (hash ^ (hash >>> 29)) * P3;
  return hash ^ (hash >>> 32);
}

/** Hash of `length` bytes at an address. */
export function xxhash64(at: usize, length: u32, seed: u64): u64 {
  const end = at + length;
  let hash: u64;
  if (length >= STRIPE) {
    let a = seed + P1 + P2;
    let b = seed + P2;
    let c = seed;
    let d = seed - P1;
    const last = end - STRIPE;
    do {
      a = round(a, load<u64>(at));
      b = round(b, load<u64>(at, 8));
      c = round(c, load<u64>(at, 16));
      d = round(d, load<u64>(at, 24));
      at += STRIPE;
    } while (at <= last);
    hash = rotl(a, 1) + rotl(b, 7) + rotl(c, 12) + rotl(d, 18);
    hash = merge(merge(merge(merge(hash, a), b), c), d);
  } else {
    hash = seed + P5;
  }
  hash += length;
  for (; at + 8 <= end; at += 8) hash = rotl(hash ^ round(0, load<u64>(at)), 27) * P1 + P4;
  if (at + 4 <= end) {
    hash = rotl(hash ^ (<u64>load<u32>(at) * P1), 23) * P2 + P3;
    at += 4;
  }
  for (; at < end; at++) hash = rotl(hash ^ (<u64>load<u8>(at) * P5), 11) * P1;
  return avalanche(hash);
}
