// The way to clients, for answers that pass through (ROUTES_* of layout.ts): prefixes and their next hops, published as one
// block. Whoever knows the ways says all of them at once.

import * as L from "../../assembly/layout.ts";
import { parsePrefix } from "../config/prefix.ts";
import type { Arena } from "./arena.ts";
import { type NextHop, nextHopWord } from "./backend-records.ts";
import type { DataplaneExports } from "./binary.ts";
import { alignUp } from "./plan.ts";
import { type PrefixEntry, prefixMap } from "./prefix-map.ts";
import type { Publication } from "./publication.ts";
import type { PublishedBlocks } from "./published-blocks.ts";

/** Most ways that are published: their block has its room in the heap. */
export const MAX_ROUTES = 8191;

export interface Way {
  /** Canonical text of a prefix, or an address. Each once. */
  prefix: string;
  /** Undefined while it is not resolved. */
  hop: NextHop | undefined;
}

export class Routes {
  readonly #arena: Arena;
  readonly #publication: Publication;
  readonly #published: PublishedBlocks;
  readonly #exports: Pick<DataplaneExports, "slotHash">;
  #bytes: Uint8Array = new Uint8Array();

  constructor(
    arena: Arena,
    publication: Publication,
    published: PublishedBlocks,
    exports: Pick<DataplaneExports, "slotHash">,
  ) {
    this.#arena = arena;
    this.#publication = publication;
    this.#published = published;
    this.#exports = exports;
  }

  /**
   * Publishes the ways in place of those before, if they differ.
   * @param ways at most MAX_ROUTES
   * @returns whether they do
   * @throws GuidewayError TABLE_HEAP; the ones before stay then
   */
  set(ways: readonly Way[]): boolean {
    const bytes = routesBlock(ways, this.#exports.slotHash);
    if (Buffer.compare(bytes, this.#bytes) === 0) return false;
    const block = this.#publication.allocate(bytes.length);
    this.#arena.u8.set(bytes, block);
    this.#publication.publish(L.HEADER_ROUTES, block);
    this.#bytes = bytes;
    this.#published.set({
      name: "the routes to clients",
      cell: L.HEADER_ROUTES,
      block,
      bytes: bytes.length,
      parts: [{ offset: 0, bytes }],
      place: (offset) => `byte ${offset}`,
    });
    return true;
  }
}

/** The block's bytes: each next hop once. */
function routesBlock(ways: readonly Way[], slotHash: DataplaneExports["slotHash"]): Uint8Array {
  const hops = new Map<bigint, number>();
  const entries: PrefixEntry[] = ways.map(({ prefix, hop }) => {
    const word = hop ? nextHopWord(hop) : 0n;
    const value = hops.get(word) ?? hops.size;
    hops.set(word, value);
    return { prefix: parsePrefix(prefix), value };
  });
  const map = prefixMap(entries, slotHash);
  const prefixes = alignUp(L.ROUTES_HOPS + hops.size * L.ROUTE_HOP_BYTES, L.LINE);
  const block = new Uint8Array(prefixes + map.length);
  const view = new DataView(block.buffer);
  view.setUint32(L.ROUTES_PREFIXES, prefixes, true);
  view.setUint32(L.ROUTES_COUNT, hops.size, true);
  for (const [word, index] of hops) view.setBigUint64(L.ROUTES_HOPS + index * L.ROUTE_HOP_BYTES, word, true);
  block.set(map, prefixes);
  return block;
}
