// Compares what is published in the arena with what the controller has put there, a part at a time and round and round,
// so that a look takes a bounded time however much there is.

import * as L from "../../assembly/layout.ts";
import type { Arena } from "./arena.ts";
import type { Directory } from "./directory.ts";
import type { PublishedBlock } from "./published-blocks.ts";

/** Something in the arena that is not what it should be. */
export interface Corruption {
  /** What it is, and how it differs. */
  what: string;
  /** Writes the right thing once more. @throws GuidewayError TABLE_HEAP when there is no room for it */
  repair: () => void;
}

/** Where the next look goes on. */
interface Place {
  block: PublishedBlock;
  part: number;
  from: number;
}

export class Verification {
  readonly #arena: Arena;
  readonly #directory: Directory;
  /** What is left of this round. */
  #blocks: PublishedBlock[] = [];
  #place: Place | undefined;
  /** The next record. */
  #backend = 0;
  /** Bytes compared so far, and complete rounds. */
  bytes = 0;
  rounds = 0;

  constructor(arena: Arena, directory: Directory) {
    this.#arena = arena;
    this.#directory = directory;
    this.#blocks = directory.published.list();
  }

  /** Compares the next `budget` bytes, at most one round. @returns what was found damaged */
  look(budget: number): Corruption[] {
    const found: Corruption[] = [];
    const round = this.rounds;
    let left = budget;
    while (left > 0 && this.rounds === round) left -= this.#step(left, found);
    return found;
  }

  /** @returns bytes compared, at least 1 */
  #step(most: number, found: Corruption[]): number {
    const place = this.#nextPlace();
    if (!place) return this.#stepBackends(most, found);
    const { block, part: index, from } = place;
    const part = block.parts[index]!;
    const length = Math.min(most, part.bytes.length - from);
    const difference = this.#directory.published.compare(block, part, from, length);
    this.bytes += length;
    if (difference !== undefined) {
      found.push({
        what: `${block.name}: ${difference}`,
        repair: () => this.#directory.published.restore(block),
      });
      this.#place = undefined;
    } else {
      const done = from + length >= part.bytes.length;
      this.#place = done ? { block, part: index + 1, from: 0 } : { block, part: index, from: from + length };
    }
    return Math.max(1, length);
  }

  /** Where to go on among the blocks; undefined when those of this round are done. What was replaced meanwhile is left out. */
  #nextPlace(): Place | undefined {
    for (;;) {
      const place = this.#place;
      if (place && place.part < place.block.parts.length && this.#isCurrent(place.block)) return place;
      const block = this.#blocks.shift();
      this.#place = block && { block, part: 0, from: 0 };
      if (!block) return undefined;
    }
  }

  /** Not by its address: that of a block which was freed may be another's by now, in the same cell even. */
  #isCurrent(block: PublishedBlock): boolean {
    return this.#directory.published.get(block.cell) === block;
  }

  /** The backends' records follow the blocks; after the last one the next round begins. @returns bytes compared */
  #stepBackends(most: number, found: Corruption[]): number {
    const { records, backends } = this.#directory;
    const end = this.#arena.plan.backendCapacity;
    if (this.#backend >= end) {
      this.#backend = 0;
      this.#blocks = this.#directory.published.list();
      this.rounds++;
      return 1;
    }
    const from = this.#backend;
    const to = Math.min(end, from + Math.ceil(most / L.BACKEND_BYTES));
    const id = records.damaged(from, to);
    this.#backend = id === undefined ? to : id + 1;
    if (id !== undefined) {
      const backend = backends[id];
      const name = backend ? `of backend ${backend.pool}/${backend.config.name}` : `${id} of no backend`;
      found.push({ what: `the record ${name} differs`, repair: () => records.restore(id) });
    }
    const bytes = (this.#backend - from) * L.BACKEND_BYTES;
    this.bytes += bytes;
    return bytes;
  }
}
