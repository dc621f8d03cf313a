// The pools' lookup tables: built from who takes flows, put into the heap, swapped in.

import * as L from "../../assembly/layout.ts";
import type { Arena } from "./arena.ts";
import { tableBytes } from "./plan.ts";
import type { Publication } from "./publication.ts";
import type { PublishedBlocks } from "./published-blocks.ts";
import { PublishedTable } from "./published-table.ts";

/** What a table is built from, and how. */
export interface TableSource {
  pool: string;
  size: number;
  /** Those with slots, in the order of the configuration. */
  backends: readonly { id: number; weight: number; name: string }[];
  /** Ids in slot order. */
  build: () => Uint16Array;
}

/** A table that is in the heap but not published. */
export interface StagedTable {
  pool: string;
  block: number;
  table: PublishedTable;
  signature: string;
}

export class Tables {
  readonly #arena: Arena;
  readonly #publication: Publication;
  readonly #blocks: PublishedBlocks;
  readonly #published = new Map<string, { table: PublishedTable; signature: string }>();

  constructor(arena: Arena, publication: Publication, blocks: PublishedBlocks) {
    this.#arena = arena;
    this.#publication = publication;
    this.#blocks = blocks;
  }

  /** The table that workers use. */
  get(pool: string): PublishedTable {
    return this.#published.get(pool)!.table;
  }

  /**
   * Builds those tables that would differ from the published ones.
   * @throws GuidewayError TABLE_HEAP, and none is in the heap then
   */
  stage(sources: readonly TableSource[]): StagedTable[] {
    this.#publication.reclaim();
    const staged: StagedTable[] = [];
    try {
      for (const { pool, size, backends, build } of sources) {
        const signature = `${size} ${backends.map(({ id, weight }) => `${id}:${weight}`).join(" ")}`;
        const before = this.#published.get(pool);
        if (signature === before?.signature) continue;
        // First: to build a table of ten million slots takes a second.
        if (backends.some(({ weight }) => weight > 0)) this.#publication.checkRoom(tableBytes(size));
        const startMs = performance.now();
        const slots = build();
        const built = {
          size,
          slots,
          generation: (before?.table.generation ?? 0) + 1,
          buildMs: performance.now() - startMs,
        };
        const block = this.#publication.allocate(tableBytes(slots.length));
        this.#arena.setWord(block + L.TABLE_SIZE, slots.length);
        this.#arena.u16.set(slots, (block + L.TABLE_SLOTS) / 2);
        const names = new Map(backends.map(({ id, name }) => [id, name]));
        staged.push({ pool, block, table: new PublishedTable(built, names), signature });
      }
    } catch (error) {
      this.discard(staged);
      throw error;
    }
    return staged;
  }

  discard(staged: readonly StagedTable[]): void {
    for (const { block } of staged) this.#publication.discard(block);
  }

  /** Swaps a table in. @param record of its pool */
  publish({ pool, block, table, signature }: StagedTable, record: number): void {
    const cell = record + L.POOL_TABLE;
    this.#publication.publish(cell, block);
    this.#published.set(pool, { table, signature });
    const { slots } = table;
    this.#blocks.set({
      name: `the table of pool ${pool}`,
      cell,
      block,
      bytes: tableBytes(slots.length),
      parts: [
        { offset: L.TABLE_SIZE, bytes: new Uint8Array(Uint32Array.of(slots.length).buffer) },
        { offset: L.TABLE_SLOTS, bytes: new Uint8Array(slots.buffer, slots.byteOffset, slots.byteLength) },
      ],
      place: (offset) => (offset < L.TABLE_SLOTS ? "its size" : `slot ${(offset - L.TABLE_SLOTS) >>> 1}`),
    });
  }

  /** Its record goes later, when no VIP of the old services block refers to it. @param record of its pool */
  forget(pool: string, record: number): void {
    this.#published.delete(pool);
    this.#blocks.delete(record + L.POOL_TABLE);
  }
}
