// Results as tables, for people.

import { columns, counted, percent } from "../src/columns.ts";
import { median } from "../src/quantiles.ts";
import type { EngineResult } from "./engine.ts";
import type { FloodResult } from "./flood.ts";
import type { HealthResult } from "./health.ts";
import type { Provenance } from "./machine.ts";
import type { MicroResult } from "./micro.ts";
import type { NicResult } from "./nic.ts";

/** Disturbance that makes numbers worthless. */
const MUCH = 0.05;

export function renderProvenance({ machine, date, commit, disturbance }: Provenance): string {
  const { cpu, cores, memoryGiB, kernel, node, v8 } = machine;
  return (
    `${cpu}, ${cores} cores, ${memoryGiB} GiB, Linux ${kernel}, Node ${node} (V8 ${v8})\n` +
    `${date}, commit ${commit ?? "unknown"}; others took ${percent(disturbance, 1)} of the processors meanwhile` +
    (disturbance > MUCH ? ": measure again when it is quiet" : "")
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

export function renderNic({
  native,
  wasm,
  ratio,
  spread,
  cpuNsPerPacket,
  packets,
  setup,
}: NicResult): string {
  const row = (name: string, rates: number[], apart: number, cpuNs: number) => [
    name,
    (median(rates) / 1000).toFixed(0),
    percent(apart, 1),
    cpuNs.toFixed(0),
    rates.map((rate) => (rate / 1000).toFixed(0)).join(" "),
  ];
  const table = columns(
    [
      ["nic", "kpps", "spread", "CPU ns/packet", "repetitions, kpps"],
      row("native loop", native, spread.native, cpuNsPerPacket.native),
      row("WASM worker", wasm, spread.wasm, cpuNsPerPacket.wasm),
    ],
    [1, 2, 3],
  );
  return (
    `${table}\nratio ${ratio.toFixed(3)}; ${setup.packetBytes}-byte packets of ${counted(setup.flows, "flow")} over veth, ` +
    `sockets in ${setup.sockets} mode, ${setup.program} XDP program; ` +
    `${packets.verified.toLocaleString("en-US")} packets came back and were compared, ${packets.wrong} were wrong`
  );
}

export function renderFlood({ cases }: FloodResult): string {
  const number = (value: number) => value.toLocaleString("en-US");
  const rows = cases.map(({ name, established, flood, entries, nsPerPacket, rssMiB }) => [
    name,
    number(flood.flows),
    number(flood.entered),
    number(flood.evicted),
    number(established.packets),
    number(established.lost),
    number(established.moved),
    number(entries),
    nsPerPacket.toFixed(1),
    `${rssMiB.before} > ${rssMiB.after}`,
  ]);
  const head = [
    "flood",
    "new flows",
    "entered",
    "evicted",
    "established",
    "lost",
    "moved",
    "entries",
    "ns/packet",
  ];
  const table = columns([[...head, "RSS MiB"], ...rows], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const { established, capacity, arenaMiB } = cases[0]!;
  return (
    `${table}\n${number(established.flows)} established flows send all the time; the table has room for ` +
    `${number(capacity)} entries, the arena has ${arenaMiB} MiB`
  );
}

export function renderHealth(result: HealthResult): string {
  const { backends, intervalMs, fall, checksPerSecond, failed, missed, cpuShare, cpuUsPerCheck } = result;
  const row = (name: string, { p50, p99, max }: HealthResult["latencyMs"], bound = "") => [
    name,
    `${bound}${p50}`,
    `${bound}${p99}`,
    Number.isFinite(max) ? `${bound}${max}` : "more",
  ];
  const table = columns(
    [
      ["health, ms", "p50", "p99", "max"],
      row("a check starts after its turn", result.latenessMs, "< "),
      row("a check takes", result.latencyMs, "< "),
      row("port closed to onChange", result.detectionMs),
    ],
    [1, 2, 3],
  );
  return (
    `${table}\n${counted(backends, "backend")}, half tcp and half http, every ${intervalMs} ms: ` +
    `${checksPerSecond.toLocaleString("en-US")} checks per second, ${failed} failed, ${missed} turns missed; ` +
    `${percent(cpuShare.user + cpuShare.system, 1)} of a core (${percent(cpuShare.system, 1)} in the kernel), ` +
    `${cpuUsPerCheck} µs per check; ${result.detectionMs.backends} stopped, found by ${fall} failures in a row`
  );
}
