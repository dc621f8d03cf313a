import { adminWarnings } from "./admin.ts";
import { isLocal } from "./announce.ts";
import { capturedWarnings } from "./captured.ts";
import { policyWarnings } from "./policies.ts";
import { nextPrime } from "./prime.ts";
import type { Config } from "./schema.ts";

/** Something odd about a valid configuration, at a key path. */
export interface Warning {
  path: (string | number)[];
  message: string;
  /** The warning is about the last key of the path rather than its value. */
  at?: "key";
}

/** Slots per backend below which shares become visibly uneven (Maglev, NSDI 2016, §5.3). */
const SLOTS_PER_BACKEND = 100;

/** What is odd about a valid configuration, without positions. */
export function findWarnings(config: Config): Warning[] {
  const warnings: Warning[] = [];
  if (config.vips.length === 0)
    warnings.push({ path: ["vips"], message: "there are no VIPs: every packet is passed to the host" });
  const used = new Set(config.vips.map((vip) => vip.pool));
  for (const [name, { tableSize, backends, health }] of Object.entries(config.pools)) {
    if (!used.has(name))
      warnings.push({ path: ["pools", name], message: "no VIP uses this pool: it has no effect", at: "key" });
    const path = ["pools", name, "backends"];
    const taking = backends.filter((backend) => backend.weight > 0).length;
    if (backends.length === 0)
      warnings.push({ path, message: "the pool is empty: new flows are dropped (no-backend)" });
    else if (taking === 0)
      warnings.push({ path, message: "all weights are 0: new flows are dropped (no-backend)" });
    else if (taking === 1)
      warnings.push({ path, message: "only one backend takes flows: nothing takes over when it fails" });
    const ported = backends.findIndex((backend) => backend.healthPort !== undefined);
    if (ported >= 0 && health === undefined)
      warnings.push({
        path: [...path, ported, "healthPort"],
        message: "the pool has no health: this port has no effect",
      });
    if (taking > 1 && tableSize < SLOTS_PER_BACKEND * taking)
      warnings.push({
        path: ["pools", name, "tableSize"],
        message:
          `${tableSize} slots are few for ${taking} backends: shares become uneven. ` +
          `Use at least ${SLOTS_PER_BACKEND} for each, such as ${nextPrime(SLOTS_PER_BACKEND * taking)}`,
      });
  }
  warnings.push(...capturedWarnings(config), ...policyWarnings(config), ...adminWarnings(config.admin));
  const gobgp = config.announce?.gobgp;
  if (gobgp !== undefined && !isLocal(gobgp))
    warnings.push({
      path: ["announce", "gobgp"],
      message:
        "this is not on this machine: its API has no password, and an announcement outlives the machine. " +
        "Use a GoBGP here, on a unix socket or a loopback address",
    });
  return warnings;
}
