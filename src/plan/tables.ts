// Lookup tables as the engine would publish them, built once for each set of backends.

import type { Config } from "../config/schema.ts";
import type { BackendState } from "../dataplane/backend-records.ts";
import { buildMaglev } from "../dataplane/table-builder.ts";

/** The state that a backend is in, or will be. Only active ones are in tables. */
export type StateOf = (pool: string, backend: string) => BackendState;

/** Somewhere that a packet can go. */
export interface Target {
  /** The backend's name. */
  name: string;
  address: string;
  port?: number | undefined;
}

/** Whether it is the same place, which may have got another name, or another port by the same name. */
export function samePlace(a: Target, b: Target): boolean {
  return a.address === b.address && (a.name === b.name || a.port === b.port);
}

/** Slots that are computed once for each set of backends. */
interface Built {
  /** Indices of backends, in slot order; none when no backend takes flows. */
  slots: Uint16Array;
  /** How many slots each backend has. */
  counts: Float64Array;
}

export interface PoolTable extends Built {
  /** Backends that take flows, by their index. */
  targets: Target[];
}

/** Slots that are kept; more are built again when they are asked for. */
const KEPT_SLOTS = 1 << 25;

export class Tables {
  /** By what a table is computed from; the least recently used first. */
  readonly #built = new Map<string, Built>();
  #kept = 0;

  /** The table of a pool. */
  of(config: Config, pool: string, stateOf: StateOf): PoolTable {
    const { algorithm, tableSize, backends } = config.pools[pool]!;
    const targets = backends
      .filter(({ name, weight }) => weight > 0 && stateOf(pool, name) === "active")
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    const weights = targets.map(({ name, weight }) => [name, weight] as const);
    const key = JSON.stringify([algorithm, tableSize, weights]);
    let built = this.#built.get(key);
    if (built) this.#built.delete(key);
    else {
      built = build(tableSize, weights);
      this.#kept += built.slots.length;
    }
    this.#built.set(key, built);
    this.#forget();
    return { ...built, targets };
  }

  #forget(): void {
    for (const [oldest, { slots }] of this.#built) {
      if (this.#kept <= KEPT_SLOTS || this.#built.size === 1) break;
      this.#built.delete(oldest);
      this.#kept -= slots.length;
    }
  }
}

function build(size: number, weights: readonly (readonly [name: string, weight: number])[]): Built {
  const slots = buildMaglev(
    size,
    weights.map(([key, weight], id) => ({ key, weight, id })),
  );
  const counts = new Float64Array(weights.length);
  for (const index of slots) counts[index]!++;
  return { slots, counts };
}

/** Whether two tables send every hash to the same place. */
export function sameTable(a: PoolTable, b: PoolTable): boolean {
  return a.slots === b.slots && a.targets.every((target, index) => samePlace(target, b.targets[index]!));
}

/** Where the table sends a flow: the engine's slot is the hash times the size, less 32 bits (docs/datapath.md §4). */
export function targetOf({ slots, targets }: PoolTable, hash: number): Target | undefined {
  // In two steps, because the product has up to 56 bits.
  const low = Math.floor(((hash & 0xffff) * slots.length) / 65536);
  return targets[slots[Math.floor(((hash >>> 16) * slots.length + low) / 65536)]!];
}

/** Part of the slots that each backend of a pool has, 0 to 1. */
export function sharesOf({ slots, counts, targets }: PoolTable): Map<string, number> {
  return new Map(targets.map(({ name }, index) => [name, counts[index]! / slots.length]));
}
