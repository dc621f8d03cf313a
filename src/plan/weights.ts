// Weights that a running machine was given besides its configuration.

import type { Config } from "../config/schema.ts";

/**
 * Puts the weights that were set by hand into both configurations: they stay until the configuration says another one.
 * @param weightOf a backend's weight in force; undefined where that is not known
 */
export function takeWeights(
  before: Config,
  after: Config,
  weightOf: (pool: string, backend: string) => number | undefined,
): void {
  for (const [pool, { backends }] of Object.entries(before.pools)) {
    const next = Object.hasOwn(after.pools, pool) ? after.pools[pool]!.backends : [];
    const byName = new Map(next.map((each) => [each.name, each]));
    for (const backend of backends) {
      const weight = weightOf(pool, backend.name) ?? backend.weight;
      const same = byName.get(backend.name);
      if (same?.weight === backend.weight) same.weight = weight;
      backend.weight = weight;
    }
  }
}
