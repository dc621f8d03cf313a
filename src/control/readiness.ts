// Whether a machine lives, and whether it serves traffic: GET /healthz and GET /readyz.
//
//   question   asked by                          "no" means
//   healthy?   whoever restarts processes        a worker makes no passes: only a restart helps
//   ready?     whoever sends traffic here        nothing for a VIP would be forwarded now

import type { Engine } from "../dataplane/engine.ts";

export interface Health {
  healthy: boolean;
  /** Why not; none when healthy. */
  reasons: string[];
}

export interface Readiness {
  ready: boolean;
  /** Why not; none when ready. */
  reasons: string[];
}

/** @param stuck workers that make no passes: ForwarderHealth.stuck */
export function healthOf(stuck: readonly number[]): Health {
  const reasons = stuck.map((worker) => `worker ${worker} has made no pass for two seconds or more`);
  return { healthy: reasons.length === 0, reasons };
}

/** What has to be there for packets of VIPs to be forwarded. `interfaces` are those that packets come by. */
export function readinessOf(
  { directory }: Engine,
  interfaces: readonly { name: string; program: string | undefined }[],
  health: Health,
): Readiness {
  const reasons = [...health.reasons];
  for (const { name, program } of interfaces) {
    if (program === undefined) reasons.push(`no XDP program is attached to ${name}`);
  }
  if (directory.vips.length === 0) reasons.push("no VIP is configured");
  else if (directory.vips.every(({ pool }) => directory.table(pool).slots.length === 0)) {
    reasons.push("no pool of a VIP has a backend that takes flows");
  }
  return { ready: reasons.length === 0, reasons };
}
