// Results of the suites with threads as tables, for people.

import { columns, counted, percent } from "../src/columns.ts";
import type { LatencyResult } from "./latency.ts";
import type { ScaleResult } from "./scale.ts";
import type { SwapResult } from "./swap.ts";

export function renderScale({ rows, processors, targetRatio }: ScaleResult): string {
  const lines = rows.map((row) => [
    String(row.workers),
    row.mpps.toFixed(2),
    percent(row.spread, 1),
    row.ratio.toFixed(2),
    row.ratioQuartiles.map((ratio) => ratio.toFixed(2)).join("–"),
    percent(row.efficiency, 1),
    row.nsPerPacket.toFixed(1),
    row.roundsRatio.toFixed(2),
    row.wallMpps.toFixed(2),
  ]);
  const head = [
    "workers",
    "Mpps",
    "spread",
    "over one",
    "quartiles",
    "efficiency",
    "ns/packet",
    "over one",
    "Mpps with feeding",
  ];
  const table = columns([head, ...lines], [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  return (
    `${table}\n${counted(processors, "processor")}; each thread feeds itself between its runs of the engine, which is not counted; ` +
    `two workers should make ${targetRatio} of one`
  );
}

export function renderSwap({ cases, workers, blocks, targetLoss }: SwapResult): string {
  const lines = cases.map(({ name, mpps, loss, lossQuartiles, pairs, swaps, everyMs }) => [
    name,
    mpps.without.toFixed(2),
    mpps.with.toFixed(2),
    percent(loss, 1),
    lossQuartiles.map((each) => percent(each, 1)).join(" … "),
    String(pairs),
    swaps.toLocaleString("en-US"),
    everyMs.toFixed(2),
  ]);
  const head = ["swap", "Mpps without", "with", "loss", "quartiles", "pairs", "swaps", "every ms"];
  return (
    `${columns([head, ...lines], [1, 2, 3, 4, 5, 6, 7])}\n${counted(workers, "worker")}; a swap replaces ${blocks} blocks, ` +
    `lookup tables and services; target: a loss of at most ${percent(targetLoss, 1)}`
  );
}

const BAR = 40;

export function renderLatency({ cases, idle }: LatencyResult): string {
  const lines = cases.map(({ name, us, packets }) => [
    name,
    ...[us.p50, us.p90, us.p99, us.max].map((each) => each.toFixed(1)),
    packets.toLocaleString("en-US"),
  ]);
  const table = columns([["latency, µs", "p50", "p90", "p99", "max", "packets"], ...lines], [1, 2, 3, 4, 5]);
  const histograms = cases.map(({ name, histogram }) => {
    const most = Math.max(...histogram.map(({ packets }) => packets));
    const rows = histogram.map(({ belowUs, packets }) => [
      belowUs === null ? "more" : `< ${belowUs}`,
      String(packets),
      "█".repeat(Math.ceil((packets / most) * BAR)),
    ]);
    return `${columns([[`${name}, µs`, "packets", ""], ...rows], [0, 1])}`;
  });
  return [
    table,
    ...histograms,
    `${counted(idle.workers, "idle worker")}: ${percent(idle.share, 1)} of a core each (at most ${percent(idle.most, 1)}), ` +
      `over ${idle.seconds} s; target: at most ${percent(idle.targetShare, 1)}`,
  ].join("\n\n");
}
