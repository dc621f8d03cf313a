// What people call the backends that the engine knows by id (docs/datapath.md §6).

import type { Config } from "../config/schema.ts";

/** Backends' names by id, from 1; index 0 is none. A name that several pools have becomes `pool/name` in each. */
export function backendNames(config: Pick<Config, "pools">): string[] {
  const backends = Object.entries(config.pools).flatMap(([pool, { backends }]) =>
    backends.map(({ name }) => ({ pool, name })),
  );
  const uses = Map.groupBy(backends, ({ name }) => name);
  return ["", ...backends.map(({ pool, name }) => (uses.get(name)!.length === 1 ? name : `${pool}/${name}`))];
}
