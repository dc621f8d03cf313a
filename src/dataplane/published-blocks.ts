// What the controller has published, kept beside the arena: where each block is, and the bytes that must be in it.
// Nothing writes a published block, so whatever differs is damage (a stray write, failing memory), and can be undone.

import type { Arena } from "./arena.ts";
import type { Publication } from "./publication.ts";

/** Bytes of a block that matter. */
export interface Part {
  /** From the start of the block. */
  offset: number;
  bytes: Uint8Array;
}

export interface PublishedBlock {
  /** What an operator calls it. */
  name: string;
  /** Address of the cell that refers to it. */
  cell: number;
  block: number;
  /** Size of the block. */
  bytes: number;
  parts: readonly Part[];
  /** Says what a byte belongs to, by its offset from the start of the block. */
  place: (offset: number) => string;
}

export class PublishedBlocks {
  readonly #arena: Arena;
  readonly #publication: Publication;
  /** By cell. */
  readonly #blocks = new Map<number, PublishedBlock>();

  constructor(arena: Arena, publication: Publication) {
    this.#arena = arena;
    this.#publication = publication;
  }

  /** Enters a block that was just published, in place of what its cell referred to before. */
  set(block: PublishedBlock): void {
    this.#blocks.set(block.cell, block);
  }

  /** Forgets a cell that is not used any more. */
  delete(cell: number): void {
    this.#blocks.delete(cell);
  }

  get(cell: number): PublishedBlock | undefined {
    return this.#blocks.get(cell);
  }

  /** All that is published now, in the order in which cells were first used. */
  list(): PublishedBlock[] {
    return [...this.#blocks.values()];
  }

  /** Compares a part of a block, `length` bytes from `from` on. @returns what is wrong; undefined when nothing is */
  compare(
    { block, cell, place }: PublishedBlock,
    part: Part,
    from: number,
    length: number,
  ): string | undefined {
    const referred = this.#arena.word(cell);
    if (referred !== block) return `its address is ${referred}, expected ${block}`;
    const at = block + part.offset + from;
    const actual = this.#arena.u8.subarray(at, at + length);
    const expected = part.bytes.subarray(from, from + length);
    if (Buffer.compare(actual, expected) === 0) return undefined;
    const first = expected.findIndex((byte, i) => byte !== actual[i]);
    return `${place(part.offset + from + first)}: a byte is ${actual[first]}, expected ${expected[first]}`;
  }

  /**
   * Publishes what should be in a block once more, in a new one.
   * @throws GuidewayError TABLE_HEAP when there is no room; the damaged one stays then
   */
  restore(damaged: PublishedBlock): void {
    const { cell, bytes, parts } = damaged;
    const block = this.#publication.allocate(bytes);
    this.#arena.u8.fill(0, block, block + bytes);
    for (const part of parts) this.#arena.u8.set(part.bytes, block + part.offset);
    // The cell itself may be what was damaged; publishing retires what it refers to.
    this.#arena.setWord(cell, damaged.block);
    this.#publication.publish(cell, block);
    this.#blocks.set(cell, { ...damaged, block });
  }
}
