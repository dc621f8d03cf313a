// Flows that share lines of the connection table, found by the model's own flow key: in normal traffic lines hardly ever
// overflow, so that what happens then has to be brought about.

import { addressBytes } from "../model/bytes.ts";
import { flowKey } from "../model/flowkey.ts";
import { OFFLINE_SECRET } from "../model/setup.ts";
import { packet } from "../packets/packet.ts";

/** The service that flows go to. */
export interface Service {
  number: number;
  address: string;
  protocol: "tcp" | "udp";
  port: number;
}

/** One flow of a service. */
export interface Flow {
  service: Service;
  source: Uint8Array;
  sourcePort: number;
  key: bigint;
}

/** Bits of a key, with 256 lines in each shard: shard, line, fingerprint, signature (docs/datapath.md §2). */
const PLACE_BITS = 16n;
const PLACE_MASK = (1n << PLACE_BITS) - 1n;
const LINE_BIT = 1n << 8n;
const C = 0x0e9846af9b1a615dn;
const wrap = (value: bigint) => BigInt.asUintN(64, value);

/** Shard and home line of a key. */
export const homeOf = (key: bigint) => Number(key & PLACE_MASK);
/** Shard and line of the neighbour of a home. */
export const neighbourOf = (home: number) => home ^ Number(LINE_BIT);
export const fingerprintOf = (key: bigint) => Number((key >> PLACE_BITS) & 0xffffffffn);
export const signatureOf = (key: bigint) => Number(key >> 48n);

function flow(service: Service, source: Uint8Array, sourcePort: number): Flow {
  const tuple = {
    source,
    destination: addressBytes(service.address),
    sourcePort: Uint8Array.of(sourcePort >> 8, sourcePort & 255),
    destinationPort: Uint8Array.of(service.port >> 8, service.port & 255),
    protocol: service.protocol === "tcp" ? 6 : 17,
  };
  return { service, source, sourcePort, key: flowKey(OFFLINE_SECRET, tuple, service.number, false) };
}

/** The n-th flow of a service, any but the same for another n. */
export function nthFlow(service: Service, n: number): Flow {
  const host = (n >>> 16) + 1;
  const source = service.address.includes(":")
    ? addressBytes(`2001:db8::${host.toString(16)}`)
    : Uint8Array.of(192, 0, 2, host);
  return flow(service, source, n & 0xffff);
}

/**
 * Flows out of `count` of a service in two neighbouring lines: as many as can be found at `home`, and at least seven in the
 * line `next` to it.
 */
export function crowd(service: Service, count: number): { home: Flow[]; next: Flow[] } {
  const homes = new Map<number, number[]>();
  for (let n = 0; n < count; n++) {
    const home = homeOf(nthFlow(service, n).key);
    const others = homes.get(home);
    if (others) others.push(n);
    else homes.set(home, [n]);
  }
  const nextTo = (home: number) => homes.get(neighbourOf(home)) ?? [];
  const [best] = [...homes]
    .filter(([home]) => nextTo(home).length >= 7)
    .sort(([, a], [, b]) => b.length - a.length);
  const [home, numbers] = best!;
  const flows = (of: number[]) => of.map((n) => nthFlow(service, n));
  return { home: flows(numbers), next: flows(nextTo(home)) };
}

/** The first `most` flows of a service that have their homes here. */
export function flowsAt(service: Service, homes: number[], most: number): Flow[] {
  const found: Flow[] = [];
  for (let n = 0; found.length < most; n++) {
    const each = nthFlow(service, n);
    if (homes.includes(homeOf(each.key))) found.push(each);
  }
  return found;
}

function inverseOf(odd: bigint): bigint {
  // Newton's iteration doubles the right bits: 5 of 64 to begin with.
  let inverse = odd;
  for (let i = 0; i < 5; i++) inverse = wrap(inverse * (2n - odd * inverse));
  return inverse;
}

const INVERSE = inverseOf(C);

/** The IPv4 flow that has this key, if it is one of the service: mix() is undone step by step. */
function flowWithKey(service: Service, key: bigint): Flow | undefined {
  let k = key ^ (key >> 28n) ^ (key >> 56n);
  k = wrap(k * INVERSE);
  k ^= k >> 32n;
  k = wrap(k * INVERSE);
  k ^= k >> 32n;
  k ^= OFFLINE_SECRET[0];
  if (Number(k >> 48n) !== service.number) return undefined;
  const source = Uint8Array.from([0n, 8n, 16n, 24n], (bits) => Number((k >> bits) & 255n));
  const raw = Number((k >> 32n) & 0xffffn);
  const found = flow(service, source, ((raw & 255) << 8) | (raw >> 8));
  if (found.key !== key) throw new Error("the mixer is not undone right");
  return found;
}

/** What two flows may have in common; an entry is signature and fingerprint. */
export const LIKENESSES = [
  "signature in the same line",
  "fingerprint in the same line",
  "entry next door",
  "entry in the same line of another shard",
] as const;
export type Likeness = (typeof LIKENESSES)[number];

/** Two flows that are stored alike. */
export function twins(service: Service, alike: Likeness): [Flow, Flow] {
  for (let n = 0; ; n++) {
    const one = nthFlow(service, n);
    for (const key of candidates(one.key, alike)) {
      const other = flowWithKey(service, key);
      if (other) return [one, other];
    }
  }
}

function* candidates(key: bigint, alike: Likeness): Generator<bigint> {
  if (alike === "entry next door") yield key ^ LINE_BIT;
  if (alike === "entry in the same line of another shard") for (let i = 1n; i < 256n; i++) yield key ^ i;
  if (alike === "signature in the same line")
    for (let i = 1n; i < 1n << 20n; i++) yield key ^ (i << PLACE_BITS);
  if (alike === "fingerprint in the same line") for (let i = 1n; i < 1n << 16n; i++) yield key ^ (i << 48n);
}

/** A packet of a flow; TCP flags as tcpdump writes them. */
export function packetOf({ service, source, sourcePort }: Flow, flags = "S"): Uint8Array {
  const v6 = service.address.includes(":");
  const src = v6
    ? Array.from({ length: 8 }, (_, i) => ((source[2 * i]! << 8) | source[2 * i + 1]!).toString(16)).join(":")
    : source.join(".");
  const ip = v6
    ? packet().ethernet().ipv6({ src, dst: service.address })
    : packet().ethernet().ipv4({ src, dst: service.address });
  const ports = { sport: sourcePort, dport: service.port };
  return (service.protocol === "tcp" ? ip.tcp({ ...ports, flags }) : ip.udp(ports)).bytes();
}
