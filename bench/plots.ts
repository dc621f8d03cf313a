// Draws the newest results of bench/results into docs/plots:
//
//     node bench/plots.ts [RESULTS [PLOTS]]      other folders than those
//
// A suite without a result is left out; docs/plots has what there was.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { renderChart } from "../src/chart.ts";
import { packageRoot } from "../src/lab/paths.ts";
import { PLOTS } from "./plots/charts.ts";
import { newestOf } from "./plots/results.ts";

/** Files by name, and what to tell of suites without. @throws GuidewayError PLOTS, CHART */
export function drawn(results: string): { files: Map<string, string>; left: string[] } {
  const files = new Map<string, string>();
  const left: string[] = [];
  for (const [suite, plotsOf] of Object.entries(PLOTS)) {
    const kept = newestOf(suite, results);
    const plots = kept ? plotsOf(kept) : [];
    for (const { name, chart } of plots) files.set(`${name}.svg`, renderChart(chart));
    if (!kept) left.push(`${suite}: no result yet`);
    else if (plots.length === 0) left.push(`${suite}: ${kept.file} has no rows that could be drawn`);
  }
  return { files, left };
}

if (import.meta.main) {
  const [results = join(packageRoot(), "bench", "results"), plots = join(packageRoot(), "docs", "plots")] =
    process.argv.slice(2);
  const { files, left } = drawn(results);
  mkdirSync(plots, { recursive: true });
  for (const [name, text] of files) {
    writeFileSync(join(plots, name), text);
    process.stdout.write(`${join(plots, name)}\n`);
  }
  for (const each of left) process.stderr.write(`left out: ${each}\n`);
}
