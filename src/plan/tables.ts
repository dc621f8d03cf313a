// Lookup tables as the engine would publish them, built once for each set of backends.

import type { Config } from "../config/schema.ts";
import type { BackendState } from "../dataplane/directory.ts";
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

export interface PoolTable {
  /** As configured, a prime. */
  size: number;
  /** Indices into targets, in slot order; none when no backend takes flows. */
  slots: Uint16Array;
  /** Backends that take flows. */
  targets: Target[];
}

/** Slots that are kept; more are built again when they are asked for. */
const KEPT_SLOTS = 1 << 25;

export class Tables {
  /** By what a table is computed from; the least recently used first. */
  readonly #slots = new Map<string, Uint16Array>();
  #kept = 0;

  /** The table of a pool. */
  of(config: Config, pool: string, stateOf: StateOf): PoolTable {
    const { algorithm, tableSize, backends } = config.pools[pool]!;
    const taking = backends
      .filter(({ name, weight }) => weight > 0 && stateOf(pool, name) === "active")
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    const key = JSON.stringify([algorithm, tableSize, taking.map(({ name, weight }) => [name, weight])]);
    const build = () =>
      buildMaglev(
        tableSize,
        taking.map(({ name, weight }, id) => ({ key: name, weight, id })),
      );
    return {
      size: tableSize,
      slots: this.#recall(key, build),
      targets: taking,
    };
  }

  #recall(key: string, build: () => Uint16Array): Uint16Array {
    const known = this.#slots.get(key);
    const slots = known ?? build();
    if (known) this.#slots.delete(key);
    else this.#kept += slots.length;
    this.#slots.set(key, slots);
    for (const [oldest, { length }] of this.#slots) {
      if (this.#kept <= KEPT_SLOTS || oldest === key) break;
      this.#slots.delete(oldest);
      this.#kept -= length;
    }
    return slots;
  }
}

/** Where the table sends a flow: the engine's slot is the hash times the size, less 32 bits (docs/datapath.md §4). */
export function targetOf({ slots, targets }: PoolTable, hash: number): Target | undefined {
  // In two steps, because the product has up to 56 bits.
  const low = Math.floor(((hash & 0xffff) * slots.length) / 65536);
  return targets[slots[Math.floor(((hash >>> 16) * slots.length + low) / 65536)]!];
}

/** Part of the slots that each backend of a pool has, 0 to 1. */
export function sharesOf({ slots, targets }: PoolTable): Map<string, number> {
  const counts = new Float64Array(targets.length);
  for (const index of slots) counts[index]!++;
  return new Map(targets.map(({ name }, index) => [name, counts[index]! / slots.length]));
}
