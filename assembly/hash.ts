// The two hashes (docs/datapath.md §2 and §4). The connection table's is keyed with this machine's secret, so
// that nobody outside can aim at one line; the lookup tables' with the fleet's seed, so that every machine
// chooses alike.
//
// mix() is a bijection: xor-shifts and multiplications with an odd number can all be undone. At least 16 of its 64 bits
// choose shard and line, the other 48 are stored in the way: over IPv4, where the key fits into 64 bits before
// mixing, a match is therefore exact. Where it does not (IPv6, wildcards), what is too long is folded first.

import { secret0, secret1, secret2, seed, shardLines } from "./instance";
import { SHARDS } from "./layout";

/** Odd, so that multiplying by it can be undone. */
const C: u64 = 0x0e9846af9b1a615d;

/** Bijective mixer, keyed by the first word of the secret. */
function mix(k: u64): u64 {
  k ^= secret0;
  k ^= k >>> 32;
  k *= C;
  k ^= k >>> 32;
  k *= C;
  k ^= k >>> 28;
  return k;
}

/** Folds one more word into a running hash. */
export function fold(h: u64, x: u64): u64 {
  h = (h ^ x) * C;
  return h ^ (h >>> 32);
}

/** Flow key over IPv4. Everything raw. @param destination of a wildcard, foldDestination(); of other services 0 */
export function flowKey4(source: u32, sourcePort: u32, service: u32, destination: u64): u64 {
  return mix(destination ^ (<u64>source | ((<u64>sourcePort) << 32) | ((<u64>service) << 48)));
}

/** Flow key over IPv6. */
export function flowKey6(source0: u64, source1: u64, sourcePort: u32, service: u32, destination: u64): u64 {
  const ports = ((<u64>sourcePort) << 32) | ((<u64>service) << 48);
  return mix(destination ^ fold(fold(secret1, source0), source1) ^ ports);
}

/**
 * What the number of a wildcard does not say: to which address and port a packet goes. All raw. Exported by the module, so that
 * the compiler leaves it out of the pipeline's loop.
 */
export function foldDestination(address0: u64, address1: u64, port: u32): u64 {
  return fold(fold(fold(secret2, address0), address1), port);
}

/** Key of a source prefix at a VIP, for its bucket. @param address0 raw, as is address1; bits beyond the prefix zero */
export function rateKey(address0: u64, address1: u64, vip: u32): u64 {
  return mix(fold(fold(secret2, address0), address1) ^ vip);
}

export function shardOf(key: u64): u32 {
  return <u32>key & (SHARDS - 1);
}

/** Index of the home line within the shard. */
export function lineOf(key: u64): u32 {
  return <u32>(key >>> 8) & (shardLines - 1);
}

export function fingerprintOf(key: u64): u32 {
  return <u32>(key >>> 16);
}

export function signatureOf(key: u64): u16 {
  return <u16>(key >>> 48);
}

function finish(h: u64): u32 {
  h ^= h >>> 29;
  h *= C;
  return <u32>(h >>> 32);
}

/** Hash of a flow for the lookup tables. `ports` as tcp.ports gives them. */
export function flowHash4(source: u32, destination: u32, ports: u32, protocol: u32): u32 {
  return finish(
    fold(fold(seed, <u64>source | ((<u64>destination) << 32)), <u64>ports | ((<u64>protocol) << 32)),
  );
}

export function flowHash6(
  source0: u64,
  source1: u64,
  destination0: u64,
  destination1: u64,
  ports: u32,
  protocol: u32,
): u32 {
  const h = fold(fold(fold(fold(seed, source0), source1), destination0), destination1);
  return finish(fold(h, <u64>ports | ((<u64>protocol) << 32)));
}

/**
 * Where the search for an address begins in the hash tables that the controller builds: services (services.ts) and prefixes
 * (prefix-map.ts). The last bytes of an IPv6 address, in which neighbours differ, are the top bits of `address1`: they are
 * folded down before the last multiplication, which moves bits up only. Not keyed: nobody outside chooses what is in them.
 * @param tail what else belongs to the key
 */
export function slotHash(address0: u64, address1: u64, tail: u32): u32 {
  const h = fold(address0, (<u64>tail) << 32);
  return <u32>((fold(h, address1) * C) >>> 32);
}
