// The connection table as it lies in the arena, read by its layout and nothing else.

import * as L from "../../assembly/layout.ts";
import type { Arena } from "../../src/dataplane/arena.ts";
import type { Engine } from "../../src/dataplane/engine.ts";
import { Statistics } from "../../src/dataplane/statistics.ts";
import { type Flow, fingerprintOf, homeOf, neighbourOf, signatureOf } from "./collisions.ts";

export interface Entry {
  /** Shard | line << 8, with 256 lines in each shard. */
  place: number;
  signature: number;
  fingerprint: number;
  backend: number;
  state: number;
  /** Its home is the neighbour. */
  away: boolean;
}

/** All entries, expired ones that no sweep has visited yet included. */
export function entries({ u8, u16, u32, plan }: Arena): Entry[] {
  const found: Entry[] = [];
  for (let index = 0; index < L.SHARDS * plan.shardLines; index++) {
    const at = plan.regions.conntrack.offset + index * L.LINE;
    for (let way = 0; way < L.WAYS; way++) {
      const backend = u16[(at + L.WAY_BACKEND) / 2 + way]!;
      if (backend === 0) continue;
      found.push({
        place: Math.floor(index / plan.shardLines) | ((index % plan.shardLines) << 8),
        signature: u16[(at + L.WAY_SIGNATURE) / 2 + way]!,
        fingerprint: u32[(at + L.WAY_FINGERPRINT) / 4 + way]!,
        backend,
        state: u8[at + L.WAY_META + way]! >> L.AGE_BITS,
        away: ((u8[at + L.LINE_AWAY]! >> way) & 1) === 1,
      });
    }
  }
  return found;
}

/** Whether an entry is a flow's. */
export function isOf(entry: Entry, { key }: Flow): boolean {
  const home = entry.away ? neighbourOf(entry.place) : entry.place;
  return (
    home === homeOf(key) && entry.signature === signatureOf(key) && entry.fingerprint === fingerprintOf(key)
  );
}

/** Active flows by backend id as the workers count them, and as they are found in the table. */
export function activeFlows({ arena, directory }: Engine): { counted: number[]; found: number[] } {
  const statistics = new Statistics(arena);
  const found = Array<number>(directory.backends.length).fill(0);
  for (const { backend, state } of entries(arena)) if (state !== L.FLOW_CLOSING) found[backend]!++;
  return { counted: found.map((_, id) => (id === 0 ? 0 : statistics.backend(id).activeFlows)), found };
}

/** Entries of the table as the workers count them. */
export function countedEntries(arena: Arena): number {
  return new Statistics(arena).workers().reduce((sum, worker) => sum + worker.entries, 0);
}
