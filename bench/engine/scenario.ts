// What the engine is measured with: the cross product of address family, forwarding mode and what the connection
// table finds; and for each family, what many VIPs cost, and one of many addresses and ports.

import { parseConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";
import { type Service, smallestPacket } from "../../src/io/flow-template.ts";

export type Family = "ipv4" | "ipv6";
export type Mode = (typeof MODES)[number];

const MODES = ["l2", "gre", "ipip", "gue", "nat"] as const;

/** Flows of the scenarios in which every packet is a hit. */
const HITS = { "hit-1k": 1 << 10, "hit-128k": 1 << 17, "hit-1m": 1 << 20, "hit-4m": 1 << 22 } as const;
/** With --quick: the largest table would take longer to fill than everything else. */
const QUICK_FLOWS = 1 << 17;
/** The default size of a table, which the packets of `new` find full. */
const NEW_FLOWS = 1 << 20;
const BACKENDS = 100;
/** Prime, the default. */
const TABLE_SIZE = 65537;

const VIPS = { ipv4: "10.99.0.1", ipv6: "fd99::1" } as const;
const PORT = 80;
/** Of `vips-4096`: backends are in pools of so many, and each pool has so many VIPs. */
const MANY = { vips: 4096, backends: 16_384, pools: 64, tableSize: 2503 } as const;
/** Of `prefix`: the VIP, and how many of its addresses and ports flows go to. */
const WILDCARD = { ipv4: "10.99.0.0/24", ipv6: "fd99::/64", ports: "8000-8099", destinations: 256 } as const;
const FIRST_PORT = 8000;
const WILDCARD_PORTS = 100;
/** Bytes of a packet without FCS; over IPv6 the smallest TCP packet is larger. */
const PACKET_BYTES = 64;

export interface Scenario {
  name: string;
  family: Family;
  mode: Mode;
  /** Whether every packet opens a flow; else each is of one that is in the table. */
  opens: boolean;
  /** Flows that the table is configured for; where every packet is a hit, all of them are in it. */
  flows: number;
  /** One; one that all packets go to among many; many that packets go to; one of a prefix and a range of ports. */
  vips: "one" | "one-of-many" | "many" | "prefix";
}

export function scenarios(quick: boolean): Scenario[] {
  const list: Scenario[] = [];
  for (const family of ["ipv4", "ipv6"] as const) {
    for (const mode of MODES) {
      for (const [what, all] of Object.entries(HITS)) {
        if (quick && mode !== "l2" && what !== "hit-1k") continue;
        const flows = quick ? Math.min(all, QUICK_FLOWS) : all;
        list.push({ name: `${family}-${mode}-${what}`, family, mode, opens: false, flows, vips: "one" });
      }
      const flows = quick ? QUICK_FLOWS : NEW_FLOWS;
      list.push({ name: `${family}-${mode}-new`, family, mode, opens: true, flows, vips: "one" });
    }
    const common = { family, mode: "l2", opens: false, flows: HITS["hit-128k"] } as const;
    list.push({ ...common, name: `${family}-l2-hit-128k-vips-${MANY.vips}`, vips: "one-of-many" });
    list.push({ ...common, name: `${family}-l2-hit-128k-vips-${MANY.vips}-spread`, vips: "many" });
    list.push({ ...common, name: `${family}-l2-hit-128k-prefix`, vips: "prefix" });
  }
  return list;
}

/** Where flows go: flow f to service f modulo their number. */
export function servicesOf({ family, vips }: Scenario): Service[] {
  const at = (address: string, port: number): Service => ({ address, protocol: "tcp", port });
  const addressOf = (i: number) =>
    family === "ipv4" ? `10.99.${i >> 8}.${i & 255}` : `fd99::${(i + 1).toString(16)}`;
  if (vips === "many") return Array.from({ length: MANY.vips }, (_, i) => at(addressOf(i), PORT));
  if (vips !== "prefix") return [at(VIPS[family], PORT)];
  return Array.from({ length: WILDCARD.destinations }, (_, i) =>
    at(addressOf(i), FIRST_PORT + (i % WILDCARD_PORTS)),
  );
}

export function packetBytes(scenario: Scenario): number {
  return Math.max(PACKET_BYTES, smallestPacket(servicesOf(scenario)[0]!));
}

/** One VIP in front of a pool of 100, or many in front of many pools. All backends are on the segment. */
export function configOf(scenario: Scenario): Config {
  const { mode, flows, vips } = scenario;
  const many = vips === "many" || vips === "one-of-many";
  const pools = many ? MANY.pools : 1;
  const backends = many ? MANY.backends / pools : BACKENDS;
  const addresses =
    vips === "prefix"
      ? [{ address: WILDCARD[scenario.family], port: WILDCARD.ports }]
      : servicesOf(many ? { ...scenario, vips: "many" } : scenario).map(({ address, port }) => ({
          address,
          port,
        }));
  const document = {
    machine: { address: "10.0.0.11", address6: "fd00::11" },
    conntrack: { flows },
    pools: Object.fromEntries(
      Array.from({ length: pools }, (_, pool) => [
        `pool${pool}`,
        {
          tableSize: many ? MANY.tableSize : TABLE_SIZE,
          backends: Array.from({ length: backends }, (_, i) => backendOf(scenario, pool * backends + i)),
        },
      ]),
    ),
    vips: addresses.map((each, i) => ({ name: `vip${i}`, ...each, pool: `pool${i % pools}`, forward: mode })),
  };
  return parseConfig(JSON.stringify(document), "bench").config;
}

function backendOf({ family }: Scenario, i: number) {
  const bytes = [(i + 1) >> 8, (i + 1) & 255];
  const [high, low] = bytes.map((byte) => byte.toString(16).padStart(2, "0"));
  return {
    name: `b${i}`,
    address: family === "ipv4" ? `10.1.${bytes.join(".")}` : `fd00:1::${high}${low}`,
    mac: `02:00:00:00:${high}:${low}`,
  };
}
