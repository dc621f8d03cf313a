// Every suite's result as rows that can be compared: one number each.

import type { EngineResult } from "./engine.ts";
import type { FloodResult } from "./flood.ts";
import type { HealthResult } from "./health.ts";
import type { LatencyResult } from "./latency.ts";
import type { MicroResult } from "./micro.ts";
import type { NicResult } from "./nic.ts";
import type { ScaleResult } from "./scale.ts";
import type { SuiteName } from "./suite.ts";
import type { SwapResult } from "./swap.ts";

export interface Row {
  name: string;
  value: number;
  unit: string;
  /** Which is better. */
  better: "less" | "more";
  /** (p90 − p10) / median, where the suite has one. */
  spread?: number;
}

const micro = (result: object): Row[] =>
  (result as MicroResult).cases.map(({ name, nsPerOperation, spread }) => ({
    name,
    value: nsPerOperation,
    unit: "ns",
    better: "less",
    spread,
  }));

const ROWS: Record<SuiteName, (result: object) => Row[]> = {
  engine: (result) =>
    (result as EngineResult).scenarios.map(({ name, nsPerPacket, spread }) => ({
      name,
      value: nsPerPacket,
      unit: "ns/packet",
      better: "less",
      spread,
    })),
  nic(result) {
    const { ratio, cpuNsPerPacket } = result as NicResult;
    return [
      { name: "WASM / native", value: ratio, unit: "", better: "more" },
      { name: "WASM worker, CPU", value: cpuNsPerPacket.wasm, unit: "ns/packet", better: "less" },
      { name: "native loop, CPU", value: cpuNsPerPacket.native, unit: "ns/packet", better: "less" },
    ];
  },
  hash: micro,
  table: micro,
  conntrack: micro,
  rings: micro,
  scale: (result) =>
    (result as ScaleResult).rows.flatMap(
      ({ workers, mpps, spread, ratio, nsPerPacket, roundsRatio }): Row[] => [
        { name: `${workers} workers`, value: mpps, unit: "Mpps", better: "more", spread },
        { name: `${workers} workers, over one`, value: ratio, unit: "", better: "more" },
        { name: `${workers} workers, rounds`, value: nsPerPacket, unit: "ns/packet", better: "less" },
        { name: `${workers} workers, rounds over one`, value: roundsRatio, unit: "", better: "more" },
      ],
    ),
  swap: (result) =>
    (result as SwapResult).cases.flatMap(({ name, mpps }): Row[] => [
      { name: `${name}, without`, value: mpps.without, unit: "Mpps", better: "more" },
      { name: `${name}, with`, value: mpps.with, unit: "Mpps", better: "more" },
    ]),
  latency(result) {
    const { cases, idle } = result as LatencyResult;
    return [
      ...cases.flatMap(({ name, us }): Row[] => [
        { name: `${name}, p50`, value: us.p50, unit: "µs", better: "less" },
        { name: `${name}, p99`, value: us.p99, unit: "µs", better: "less" },
      ]),
      { name: "idle", value: idle.share, unit: "cores", better: "less" },
    ];
  },
  health(result) {
    const { cpuUsPerCheck, checksPerSecond } = result as HealthResult;
    return [
      { name: "CPU per check", value: cpuUsPerCheck, unit: "µs", better: "less" },
      { name: "checks per second", value: checksPerSecond, unit: "", better: "more" },
    ];
  },
  flood: (result) =>
    (result as FloodResult).cases.map(({ name, nsPerPacket }) => ({
      name,
      value: nsPerPacket,
      unit: "ns/packet",
      better: "less",
    })),
};

export function rowsOf(suite: SuiteName, result: object): Row[] {
  return ROWS[suite](result);
}
