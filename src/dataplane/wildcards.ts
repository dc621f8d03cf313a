// Services of more than one address or port, sorted for those who look them up: what each prefix has, and which prefix
// is asked next. assembly/wildcards.ts says how they are looked up.

import { breadth, portRange } from "../config/ports.ts";
import { maskedBytes, type Prefix, parsePrefix } from "../config/prefix.ts";
import {
  isAddressService,
  isWildcard,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  type Service,
} from "../config/services.ts";

/** Ports that lead to a VIP. */
export interface Range {
  first: number;
  /** Inclusive. */
  last: number;
  vipIndex: number;
}

/** What one protocol has. */
export interface WildcardPorts {
  /** Of all of these services; 0 when there are none. */
  number: number;
  /** In ascending order; none overlaps another. */
  ranges: Range[];
}

/** What one prefix has. */
export interface Wildcards {
  /** Canonical text. */
  address: string;
  prefix: Prefix;
  /** Index of the longest other prefix that contains this one. */
  parent: number | undefined;
  /** The service of the prefix itself; one address has it elsewhere. */
  addressService: Service | undefined;
  tcp: WildcardPorts;
  udp: WildcardPorts;
}

/** The wildcards among services, by prefix, in the order of the services. */
export function wildcardsOf(services: readonly Service[]): Wildcards[] {
  const byAddress = Map.groupBy(services.filter(isWildcard), ({ address }) => address);
  const prefixes = [...byAddress.keys()].map(parsePrefix);
  const parents = parentsOf(prefixes);
  return [...byAddress].map(([address, own], index) => ({
    address,
    prefix: prefixes[index]!,
    parent: parents[index],
    addressService: own.find(isAddressService),
    tcp: portsOf(own, PROTOCOL_TCP),
    udp: portsOf(own, PROTOCOL_UDP),
  }));
}

function parentsOf(prefixes: readonly Prefix[]): (number | undefined)[] {
  const key = (family: number, bytes: Uint8Array, length: number) =>
    `${family} ${length} ${Buffer.from(maskedBytes(bytes, length)).toString("hex")}`;
  const indices = new Map(prefixes.map(({ family, bytes, length }, i) => [key(family, bytes, length), i]));
  const lengths = (family: number) =>
    [...new Set(prefixes.flatMap((each) => (each.family === family ? [each.length] : [])))].sort(
      (a, b) => b - a,
    );
  const longestFirst = { 4: lengths(4), 6: lengths(6) };
  return prefixes.map(({ family, bytes, length }) =>
    longestFirst[family]
      .filter((shorter) => shorter < length)
      .map((shorter) => indices.get(key(family, bytes, shorter)))
      .find((index) => index !== undefined),
  );
}

function portsOf(services: readonly Service[], protocol: number): WildcardPorts {
  const own = services.filter((each) => each.protocol === protocol);
  return { number: own[0]?.number ?? 0, ranges: flatten(own) };
}

/** A port takes what a range has as well, and a range what every port has. */
function flatten(services: readonly Service[]): Range[] {
  let flat: Range[] = [];
  for (const wide of [0, 1, 2]) {
    const own = services
      .filter(({ port }) => breadth(port) === wide)
      .map(({ port, vipIndex }) => ({ ...portRange(port), vipIndex }))
      .sort((a, b) => a.first - b.first);
    flat = [...flat, ...subtract(own, flat)].sort((a, b) => a.first - b.first);
  }
  return flat;
}

/** What is left of ranges without those that are taken. Both are in ascending order and have no overlaps. */
function subtract(ranges: readonly Range[], taken: readonly Range[]): Range[] {
  const left: Range[] = [];
  let at = 0;
  for (const { first, last, vipIndex } of ranges) {
    let from = first;
    while (at < taken.length && taken[at]!.last < from) at++;
    for (let i = at; i < taken.length && taken[i]!.first <= last; i++) {
      if (from < taken[i]!.first) left.push({ first: from, last: taken[i]!.first - 1, vipIndex });
      from = taken[i]!.last + 1;
    }
    if (from <= last) left.push({ first: from, last, vipIndex });
  }
  return left;
}

/** Bits of a port that are the same for all ports of a block; the others are any. */
export interface PortBlock {
  first: number;
  bits: number;
}

/** The fewest blocks, each of a power of two of ports, that make up a range. */
export function portBlocks({ first, last }: Pick<Range, "first" | "last">): PortBlock[] {
  const blocks: PortBlock[] = [];
  for (let from = first; from <= last; ) {
    let size = from === 0 ? 65536 : from & -from;
    while (from + size - 1 > last) size >>>= 1;
    blocks.push({ first: from, bits: 16 - Math.log2(size) });
    from += size;
  }
  return blocks;
}
