// Maglev's lookup table: §3.4 of the paper (Eisenbud et al., NSDI 2016), with Envoy's permutations and
// weights, as design §5 and ARCHITECTURE.md name them. docs/datapath.md §4 says which slot a packet takes.

import { xxHash64 } from "./xxhash64.ts";

/** One backend's row: its permutation is offset, offset + skip, offset + 2·skip, … modulo the size. */
export interface Row {
  offset: number;
  skip: number;
  weight: number;
}

/** Pseudocode 1 of the paper with Envoy's turns for weights: the row that owns each slot. */
export function populate(size: number, rows: Row[]): number[] {
  const maxWeight = Math.max(0, ...rows.map((row) => row.weight));
  if (maxWeight === 0) return [];
  const slots: (number | undefined)[] = Array(size).fill(undefined);
  const targets = rows.map(() => 0);
  const cursors = rows.map((row) => row.offset);
  let filled = 0;
  for (let iteration = 1; ; iteration++) {
    for (const [i, row] of rows.entries()) {
      if (row.weight === 0 || iteration * row.weight < targets[i]!) continue;
      targets[i]! += maxWeight;
      while (slots[cursors[i]!] !== undefined) cursors[i] = (cursors[i]! + row.skip) % size;
      slots[cursors[i]!] = i;
      filled++;
      if (filled === size) return slots as number[];
    }
  }
}

/** The permutation of a key, which is the backend's name. */
export function rowOf(key: string, weight: number, size: number): Row {
  const bytes = new TextEncoder().encode(key);
  const modulo = (hash: bigint, by: number) => Number(hash % BigInt(by));
  return {
    offset: modulo(xxHash64(bytes, 0n), size),
    skip: modulo(xxHash64(bytes, 1n), size - 1) + 1,
    weight,
  };
}

/** The ids of the backends in slot order; empty when nothing has weight. The order of the list is of no consequence. */
export function maglevTable(
  size: number,
  backends: { id: number; name: string; weight: number }[],
): number[] {
  const sorted = [...backends].sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
  const rows = sorted.map(({ name, weight }) => rowOf(name, weight, size));
  return populate(size, rows).map((row) => sorted[row]!.id);
}
