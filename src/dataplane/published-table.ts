// A lookup table as it was published: what the controller knows of it, and compares the arena with.

import { tableDigest } from "./table-builder.ts";

export class PublishedTable {
  /** As configured. */
  readonly size: number;
  /** Ids in slot order; none when no backend takes flows. */
  readonly slots: Uint16Array;
  /** 1 for the pool's first table, and one more for each that took its place. */
  readonly generation: number;
  /** How long it took to build, milliseconds. */
  readonly buildMs: number;
  /** Names of the pool's backends by id. */
  readonly #names: ReadonlyMap<number, string>;
  #digest: string | undefined;
  #taken: Map<number, number> | undefined;

  constructor(
    built: Pick<PublishedTable, "size" | "slots" | "generation" | "buildMs">,
    names: ReadonlyMap<number, string>,
  ) {
    this.size = built.size;
    this.slots = built.slots;
    this.generation = built.generation;
    this.buildMs = built.buildMs;
    this.#names = names;
  }

  /** Names of the backends in slot order. */
  entries(): string[] {
    return Array.from(this.slots, (id) => this.#names.get(id)!);
  }

  /** Equal on machines with equal tables. */
  get digest(): string {
    this.#digest ??= tableDigest(this.size, this.entries());
    return this.#digest;
  }

  /** Part of the slots that a backend has, 0 … 1. */
  share(id: number): number {
    if (!this.#taken) {
      this.#taken = new Map();
      for (const each of this.slots) this.#taken.set(each, (this.#taken.get(each) ?? 0) + 1);
    }
    return this.slots.length === 0 ? 0 : (this.#taken.get(id) ?? 0) / this.slots.length;
  }
}
