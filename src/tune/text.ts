// What `tune` found, for people: the settings as a table with the curve beside it, and the reason of the recommendation.

import type { Chart } from "../chart.ts";
import { columns } from "../columns.ts";
import type { Measured } from "./knee.ts";
import { choiceText } from "./settings.ts";
import type { TuneResult } from "./tune.ts";

const BAR = 40;

const share = (part: number) => `${(part * 100).toFixed(1)}%`;
const isSame = (a: Measured, b: Measured) =>
  a.workers === b.workers && a.batch === b.batch && a.pinned === b.pinned;

export function renderTune(result: TuneResult): string {
  const { best, knee, traffic, turns } = result;
  const rows = result.rows.map((each) => {
    const mark = isSame(each, knee) ? "◀ knee" : isSame(each, best) ? "fastest" : "";
    return [
      String(each.workers),
      String(each.batch),
      each.pinned ? "yes" : "no",
      each.mpps.toFixed(1),
      `${each.low.toFixed(1)} to ${each.high.toFixed(1)}`,
      share(each.ratio),
      "█".repeat(Math.max(1, Math.round((each.mpps / best.mpps) * BAR))) + (mark && ` ${mark}`),
    ];
  });
  const head = ["workers", "batch", "pinned", "Mpps", "95% interval", "of best", ""];
  const table = columns([head, ...rows], [0, 1, 3, 4, 5]);
  return `${table}\n${traffic}; ${turns} turns of each, by turns, in memory\n\n${reasonOf(result).join("\n")}`;
}

/** Why the knee is recommended, and what to doubt about it. */
export function reasonOf({ best, knee, byNoise, noise, tolerance, cpus, rows }: TuneResult): string[] {
  const chosen = `Recommended: ${choiceText(knee)}${cpus ? ` to CPUs ${cpus.join(", ")}` : ""}.`;
  const most = Math.max(...rows.map(({ workers }) => workers));
  const lines = [chosen];
  if (isSame(knee, best)) {
    lines.push(
      `It is the fastest with ${best.mpps.toFixed(1)} Mpps, and no smaller setting comes within ${share(tolerance)} of it.`,
    );
  } else {
    const [low, high] = [knee.ratioLow, knee.ratioHigh].map(share);
    const why = byNoise
      ? "the interval reaches 100%, so this measurement cannot tell them apart"
      : `within the ${share(tolerance)} that may be given up for a smaller setting`;
    lines.push(
      `It forwards ${share(knee.ratio)} (${low} to ${high}) of what the fastest does (${choiceText(best)}, ` +
        `${best.mpps.toFixed(1)} Mpps): ${why}. Every smaller setting is slower.`,
    );
  }
  if (knee.workers === most && most > 1)
    lines.push(
      "Throughput still rises with the last worker: what limits it is the number of processors that were measured.",
    );
  if (noise > tolerance)
    lines.push(
      `The machine is not quiet: some settings are known to ±${share(noise)} only. Measure again when it is, or with more --turns.`,
    );
  return lines;
}

/** Throughput against workers, a line for each batch size and pinning, the knee with its name. */
export function chartOf(result: TuneResult): Chart {
  const { rows, knee, traffic, turns } = result;
  const lines = Map.groupBy(rows, ({ batch, pinned }) => `batch ${batch}${pinned ? ", pinned" : ""}`);
  return {
    title: "Throughput against workers",
    note: `${traffic}; medians of ${turns} turns with their 95% confidence intervals`,
    kind: "lines",
    x: { label: "workers" },
    y: { label: "million packets per second" },
    series: [...lines].map(([name, points]) => ({
      name,
      points: points.map((each) => ({
        x: each.workers,
        y: each.mpps,
        low: each.low,
        high: each.high,
        ...(isSame(each, knee) && { label: "knee" }),
      })),
    })),
  };
}
