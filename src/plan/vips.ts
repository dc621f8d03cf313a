// Which VIP of one configuration is which of another.

import type { Config, VipConfig } from "../config/schema.ts";

type Pair = [before: VipConfig | undefined, after: VipConfig | undefined];

/** What a VIP answers to: address, protocol and port. */
function servicesOf({ address, protocol, port }: VipConfig): string[] {
  const protocols = protocol === "any" ? ["tcp", "udp"] : [protocol];
  return protocols.flatMap((each) => port.map((number) => `${address} ${each} ${number}`));
}

/**
 * Pairs of VIPs: by name, and what is left by a service that both have, which was renamed. In the order of `next`; those
 * that vanish come last.
 */
export function matchVips(old: Config, next: Config): Pair[] {
  const names = new Set(next.vips.map(({ name }) => name));
  const before = new Map(old.vips.map((vip) => [vip.name, vip]));
  const unnamed = old.vips.filter(({ name }) => !names.has(name));
  const owners = new Map(unnamed.flatMap((vip) => servicesOf(vip).map((service) => [service, vip] as const)));
  const renamed = new Set<VipConfig>();
  const pairs = next.vips.map((after): Pair => {
    const same = before.get(after.name);
    if (same) return [same, after];
    const owner = servicesOf(after)
      .map((service) => owners.get(service))
      .find((vip) => vip && !renamed.has(vip));
    if (owner) renamed.add(owner);
    return [owner, after];
  });
  return [...pairs, ...unnamed.filter((vip) => !renamed.has(vip)).map((vip): Pair => [vip, undefined])];
}
