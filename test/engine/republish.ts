// A table that is published once more though nothing about it changes: all weights twice what they are configured, and back.

import type { Directory } from "../../src/dataplane/directory.ts";

/** @throws GuidewayError TABLE_HEAP; the old table stays then */
export function republish(directory: Directory, pool: string): void {
  directory.update(
    directory.backendsOf(pool).map(({ id, weight, config }) => ({
      id,
      weight: weight === config.weight ? 2 * config.weight : config.weight,
    })),
  );
}
