// docs/datapath.md §10: what is known of fragmented datagrams, and the fragments that wait for their first one.

import { raw } from "./bytes.ts";
import { flowKey, fold, mix, type Secret, type Tuple } from "./flowkey.ts";
import type { Service } from "./services.ts";

const STEP_MS = 16;
const KNOWN_MS = 2048;
const HELD_MS = 512;
const SETS = 8;
const WAYS = 8;
const MOST_HELD_PER_SHARD = 64;

export interface Ports {
  sourcePort: Uint8Array;
  destinationPort: Uint8Array;
}

interface Datagram {
  tag: bigint;
  untilMs: number;
  ports: Ports;
}

interface Held {
  shard: bigint;
  tag: bigint;
  untilMs: number;
  /** Called once, with the ports, or without when the wait was in vain. */
  end: (ports: Ports | undefined) => void;
}

/** The tag of a datagram, from what its fragments have in common. `identification` in network order. */
export function datagramTag(secret: Secret, tuple: Tuple, identification: Uint8Array): bigint {
  const { source, destination, protocol } = tuple;
  const words =
    source.length === 4
      ? [raw(source) | (raw(destination) << 32n)]
      : [raw(source, 0, 8), raw(source, 8, 8), raw(destination, 0, 8), raw(destination, 8, 8)];
  words.push(raw(identification) | (BigInt(protocol) << 32n));
  return mix(secret, words.reduce(fold, secret[2])) | 1n;
}

/** The key by which a fragment is steered: of its source and address service, or of the client to whom a backend sends it. */
export function addressKey(
  secret: Secret,
  { tuple, service }: { tuple: Tuple; service: Service | undefined },
): bigint {
  const source = service ? tuple.source : tuple.destination;
  return flowKey(secret, { ...tuple, source }, service?.number ?? 0, false);
}

export class Fragments {
  readonly #limit: number;
  readonly #sets = new Map<string, Datagram[]>();
  #waiting: Held[] = [];
  #nowMs = 0;

  /** @param limit most fragments that wait, of all shards */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Time passes: fragments whose time is over have waited in vain. */
  advance(clockMs: number): void {
    this.#nowMs = Math.max(this.#nowMs, clockMs - (clockMs % STEP_MS));
    this.#end(({ untilMs }) => untilMs <= this.#nowMs, undefined);
  }

  /** Ends all waits. */
  flush(): void {
    this.#end(() => true, undefined);
  }

  #end(which: (held: Held) => boolean, ports: Ports | undefined): void {
    const over = this.#waiting.filter(which);
    this.#waiting = this.#waiting.filter((held) => !over.includes(held));
    for (const { end } of over) end(ports);
  }

  /** Ports of a datagram whose first fragment was seen. */
  known(shard: bigint, tag: bigint): Ports | undefined {
    return this.#set(shard, tag).find((each) => each.tag === tag && each.untilMs > this.#nowMs)?.ports;
  }

  /** Notes the ports of a datagram. */
  learn(shard: bigint, tag: bigint, ports: Ports): void {
    const set = this.#set(shard, tag);
    const known = set.findIndex((each) => each.tag === tag && each.untilMs > this.#nowMs);
    const first = Math.min(...set.map(({ untilMs }) => untilMs));
    const way = known >= 0 ? known : set.findIndex(({ untilMs }) => untilMs === first);
    set[way] = { tag, untilMs: this.#nowMs + KNOWN_MS, ports };
  }

  /** Lets the fragments of a datagram go on that wait. */
  release(shard: bigint, tag: bigint, ports: Ports): void {
    this.#end((held) => held.shard === shard && held.tag === tag, ports);
  }

  /** @returns whether there is room for one more that waits */
  hold(shard: bigint, tag: bigint, end: Held["end"]): boolean {
    const ofShard = this.#waiting.filter((held) => held.shard === shard).length;
    if (ofShard >= MOST_HELD_PER_SHARD || this.#waiting.length >= this.#limit) return false;
    this.#waiting.push({ shard, tag, untilMs: this.#nowMs + HELD_MS, end });
    return true;
  }

  #set(shard: bigint, tag: bigint): Datagram[] {
    const name = `${shard}/${(tag >> 1n) % BigInt(SETS)}`;
    let set = this.#sets.get(name);
    if (!set) {
      const nobody: Ports = { sourcePort: new Uint8Array(2), destinationPort: new Uint8Array(2) };
      set = Array.from({ length: WAYS }, () => ({ tag: 0n, untilMs: 0, ports: nobody }));
      this.#sets.set(name, set);
    }
    return set;
  }
}
