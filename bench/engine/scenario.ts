// What the engine is measured with: the cross product of address family, forwarding mode and what the connection
// table finds.

import { parseConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";
import { type Service, smallestPacket } from "../../src/io/flow-template.ts";

export type Family = "ipv4" | "ipv6";
export type Mode = "l2" | "gre";

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
}

export function scenarios(quick: boolean): Scenario[] {
  const list: Scenario[] = [];
  for (const family of ["ipv4", "ipv6"] as const) {
    for (const mode of ["l2", "gre"] as const) {
      for (const [what, all] of Object.entries(HITS)) {
        const flows = quick ? Math.min(all, QUICK_FLOWS) : all;
        list.push({ name: `${family}-${mode}-${what}`, family, mode, opens: false, flows });
      }
      const flows = quick ? QUICK_FLOWS : NEW_FLOWS;
      list.push({ name: `${family}-${mode}-new`, family, mode, opens: true, flows });
    }
  }
  return list;
}

export function serviceOf({ family }: Scenario): Service {
  return { address: VIPS[family], protocol: "tcp", port: PORT };
}

export function packetBytes(scenario: Scenario): number {
  return Math.max(PACKET_BYTES, smallestPacket(serviceOf(scenario)));
}

/** One VIP in front of a pool of 100, which holds every backend on the segment. */
export function configOf(scenario: Scenario): Config {
  const { family, mode, flows } = scenario;
  const backends = Array.from({ length: BACKENDS }, (_, i) => ({
    name: `b${i}`,
    address: family === "ipv4" ? `10.0.1.${i + 1}` : `fd00:1::${(i + 1).toString(16)}`,
    mac: `02:00:00:00:01:${(i + 1).toString(16).padStart(2, "0")}`,
  }));
  const { address, port } = serviceOf(scenario);
  const document = {
    machine: { address: "10.0.0.11", address6: "fd00::11" },
    conntrack: { flows },
    pools: { web: { tableSize: TABLE_SIZE, backends } },
    vips: [{ name: "web", address, port, pool: "web", forward: mode }],
  };
  return parseConfig(JSON.stringify(document), "bench").config;
}
