// Which backend of a running machine a command means.

import type { AdminClient } from "../admin/client.ts";
import { GuidewayError } from "../errors.ts";

/** Of commands that take new flows away from a backend. */
export const FORCE = "also when it is the last backend of its pool that takes new flows";

/** @throws GuidewayError UNKNOWN, or AMBIGUOUS when several pools have a backend of the name */
export async function findBackend(
  client: AdminClient,
  name: string,
): Promise<{ pool: string; backend: string }> {
  const { pools } = await client.status();
  const all = pools.flatMap((pool) => pool.backends.map((each) => ({ pool: pool.name, backend: each.name })));
  // A name may have a slash, too: in full it is not another's.
  const full = all.filter(({ pool, backend }) => `${pool}/${backend}` === name);
  const found = full.length > 0 ? full : all.filter(({ backend }) => backend === name);
  if (found.length === 1) return found[0]!;
  const list = (backends: typeof all) => backends.map(({ pool, backend }) => `${pool}/${backend}`).join(", ");
  if (found.length > 1) {
    throw new GuidewayError(
      "AMBIGUOUS",
      `${JSON.stringify(name)} may be ${list(found)}: name the pool, too`,
      {
        exitCode: 2,
      },
    );
  }
  const known = all.length > 20 ? "guideway status lists them" : `there are ${list(all) || "none"}`;
  throw new GuidewayError("UNKNOWN", `there is no backend ${JSON.stringify(name)}; ${known}`, {
    exitCode: 2,
  });
}
