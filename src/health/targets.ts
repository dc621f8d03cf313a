// The targets of a configuration.
import { checkPort, probedVip, protocolOf, servicePort } from "../config/probing.ts";
import type { BackendConfig, Config, VipConfig } from "../config/schema.ts";
import { Destinations } from "../config/service-lookup.ts";
import type { HealthTarget, ResolvedCheck } from "./target.ts";

/** The local end of the checks of one backend through the tunnel: the port tells the data plane which backend is meant. */
export interface TunnelEnd {
  localAddress: string;
  localPort: number;
}

/** Gives a backend's local end, for a check that goes to a VIP; undefined leaves the backend unchecked. */
export type TunnelEnds = (pool: string, backend: BackendConfig, vip: VipConfig) => TunnelEnd | undefined;

/** What is to be checked: every backend of the pools that have a health check. */
export function healthTargets(config: Pick<Config, "pools" | "vips">, ends?: TunnelEnds): HealthTarget[] {
  const targets: HealthTarget[] = [];
  const destinations = new Destinations(config);
  for (const [pool, { health, backends }] of Object.entries(config.pools)) {
    if (!health) continue;
    const fallback = servicePort(config.vips, pool);
    // Backends with the same port have the same object: its key is computed once.
    const checks = new Map<number | undefined, ResolvedCheck>();
    for (const backend of backends) {
      const port = checkPort(health, backend, fallback);
      const check = checks.get(port) ?? { ...health, port };
      checks.set(port, check);
      if (health.via === "direct") {
        targets.push({ pool, backend: backend.name, address: backend.address, check });
        continue;
      }
      const vip = port === undefined ? undefined : probedVip(config.vips, pool, health.type, port);
      const end = vip && ends?.(pool, backend, vip);
      if (!vip || !end) continue;
      const address = destinations.addressOf(vip, protocolOf(health.type), port!);
      targets.push({ pool, backend: backend.name, address, ...end, check });
    }
  }
  return targets;
}
