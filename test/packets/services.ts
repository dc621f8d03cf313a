// Addresses and ports of VIPs for generated configurations, and those of packets that are near to them.

import fc from "fast-check";
import { familyOf } from "../model/bytes.ts";
import type { Ports } from "../model/setup.ts";

/** Prefixes that contain each other. */
export const vipAddress = fc.constantFrom(
  "10.99.0.1",
  "10.99.0.2",
  "10.99.0.0/30",
  "10.99.0.0/24",
  "10.96.0.0/11",
  "fd99::1",
  "fd99::/125",
  "fd99::/64",
  "fd00::/16",
);

/** Ranges of different VIPs are the same or apart; their edges and what is beside them are likely ports. */
const range = fc.nat(3).map((n): Ports => `${1000 * (n + 1)}-${1000 * (n + 1) + 499}`);
const single = fc.oneof(
  fc.integer({ min: 1, max: 65535 }).map((port): Ports => port),
  fc.constantFrom<Ports[]>(80, 443, 999, 1000, 1001, 1250, 1499, 1500, 2000, 65535),
);

/** Ports of one VIP, without overlaps. */
export const vipPorts: fc.Arbitrary<Ports[]> = fc.oneof(
  { weight: 4, arbitrary: fc.uniqueArray(single, { minLength: 1, maxLength: 3 }) },
  { weight: 3, arbitrary: fc.uniqueArray(range, { minLength: 1, maxLength: 3 }) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.integer({ min: 1, max: 999 }), range).map((both): Ports[] => both),
  },
  { weight: 1, arbitrary: fc.constant<Ports[]>([0]) },
);

/** Ports in and beside these. */
export function portsOf(ports: Ports): number[] {
  if (ports === 0) return [80, 0, 1, 1250, 65535];
  if (typeof ports === "number") return [ports];
  const [first, last] = ports.split("-").map(Number) as [number, number];
  return [first, last, first - 1, last + 1, (first + last) >> 1];
}

/** Addresses in and beside a prefix, or the address itself. */
export function addressesOf(address: string): string[] {
  const [first = "", length] = address.split("/");
  if (length === undefined) return [first];
  if (familyOf(first) === 6) return ["1", "2", "7", "8", "ffff", "1:0:0:0:1"].map((end) => `${first}${end}`);
  const start = first.split(".").slice(0, 2).join(".");
  return [`${start}.0.1`, `${start}.0.3`, `${start}.0.4`, `${start}.1.0`, first];
}
