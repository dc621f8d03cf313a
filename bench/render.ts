// Results as tables, for people.

import { columns, percent } from "../src/columns.ts";
import type { EngineResult } from "./engine.ts";
import type { Provenance } from "./machine.ts";
import type { MicroResult } from "./micro.ts";

export function renderProvenance({ machine, date, commit }: Provenance): string {
  const { cpu, cores, memoryGiB, kernel, node, v8, load } = machine;
  return (
    `${cpu}, ${cores} cores, ${memoryGiB} GiB, Linux ${kernel}, Node ${node} (V8 ${v8})\n` +
    `${date}, commit ${commit ?? "unknown"}, load average ${load} before`
  );
}

export function renderEngine({ scenarios, hugePagesMiB }: EngineResult): string {
  const rows = scenarios.map(({ name, nsPerPacket, mpps, spread }) => [
    name,
    nsPerPacket.toFixed(1),
    mpps.toFixed(2),
    percent(spread, 1),
  ]);
  const table = columns([["engine", "ns/packet", "Mpps", "spread"], ...rows], [1, 2, 3]);
  return `${table}\none worker, rings in memory, ${hugePagesMiB} MiB in huge pages; spread is (p90 − p10) / median`;
}

export function renderMicro(suite: string, { cases }: MicroResult): string {
  const rows = cases.map(({ name, nsPerOperation, operationsPerSecond, spread, targetNs }) => [
    name,
    nsPerOperation.toLocaleString("en-US"),
    operationsPerSecond.toLocaleString("en-US"),
    percent(spread, 1),
    targetNs === undefined ? "" : targetNs.toLocaleString("en-US"),
  ]);
  return columns([[suite, "ns", "per second", "spread", "target ns"], ...rows], [1, 2, 3, 4]);
}
