// The plots of results: those in docs are of what is in bench/results, and results that are not there yet will be drawn.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { PLOTS } from "../../bench/plots/charts.ts";
import { newestOf } from "../../bench/plots/results.ts";
import { drawn } from "../../bench/plots.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "guideway-plots-"));
after(() => rmSync(folder, { recursive: true }));

function keep(name: string, result: unknown): void {
  writeFileSync(join(folder, name), typeof result === "string" ? result : JSON.stringify(result));
}

/** The chart of a plot by its name. */
function chartOf(suite: string, name: string) {
  const plots = PLOTS[suite]!(newestOf(suite, folder)!);
  return plots.find((plot) => plot.name === name)!.chart;
}

suite("plots", () => {
  test("docs/plots is what bench/results says", () => {
    const { files } = drawn(join(root, "bench", "results"));
    const plots = join(root, "docs", "plots");
    const there = readdirSync(plots).sort();
    assert.deepEqual(there, [...files.keys()].sort(), "run: node bench/plots.ts");
    for (const [name, text] of files)
      assert.equal(readFileSync(join(plots, name), "utf8"), text, `${name}: run: node bench/plots.ts`);
  });

  test("every plot is shown in the docs", () => {
    const text = readFileSync(join(root, "docs", "performance.md"), "utf8");
    for (const name of readdirSync(join(root, "docs", "plots")))
      assert.ok(text.includes(`(plots/${name})`), name);
  });

  test("the newest result counts, a suite's own before one of all", () => {
    keep("2026-01-01-scale.json", { rows: [{ workers: 1, mpps: 1 }] });
    keep("2026-01-02-all.json", { scale: { rows: [{ workers: 1, mpps: 2 }] }, commit: "c0ffee" });
    assert.equal(newestOf("scale", folder)?.where, "commit c0ffee");
    keep("2026-01-02-scale.json", { rows: [{ workers: 1, mpps: 3 }] });
    assert.equal(newestOf("scale", folder)?.file, "2026-01-02-scale.json");
    // One of all without this suite.
    keep("2026-01-03-all.json", { engine: { scenarios: [] } });
    assert.equal(newestOf("scale", folder)?.file, "2026-01-02-scale.json");
  });

  test("throughput against workers: rows with numbers or names, others are passed over", () => {
    keep("2026-02-01-scale.json", {
      rows: [
        { workers: 1, mpps: 10, spread: 0.2 },
        { name: "workers-2", mpps: 19, low: 18, high: 19.5 },
        { name: "workers-3", mpps: null },
        { name: "of-nothing", mpps: 4 },
        7,
      ],
    });
    const [measured, ideal] = chartOf("scale", "workers").series;
    assert.deepEqual(measured!.points, [
      { x: 1, y: 10, low: 9, high: 11 },
      { x: 2, y: 19, low: 18, high: 19.5 },
    ]);
    assert.deepEqual(ideal!.points, [
      { x: 1, y: 10 },
      { x: 2, y: 20 },
    ]);
  });

  test("throughput against batch size: a series for each number of workers and way of pinning", () => {
    const row = (workers: number, batch: number, pinned: boolean) => ({
      workers,
      batch,
      pinned,
      mpps: workers * batch,
      low: 1,
      high: 99,
    });
    keep("2026-02-01-tune.json", {
      rows: [row(1, 16, false), row(1, 64, false), row(2, 16, false), row(2, 16, true)],
    });
    const { series } = chartOf("tune", "batch");
    assert.deepEqual(
      series.map(({ name, points }) => [name, points.map(({ x, y }) => [x, y])]),
      [
        [
          "1 worker",
          [
            [16, 16],
            [64, 64],
          ],
        ],
        ["2 workers", [[16, 32]]],
        ["2 workers, pinned", [[16, 32]]],
      ],
    );
  });

  test("latency: shares of the packets by bin, the last one open", () => {
    const histogram = [
      { belowUs: 5, packets: 30 },
      { belowUs: 10, packets: 60 },
      { belowUs: null, packets: 10 },
    ];
    keep("2026-02-01-latency.json", {
      cases: [
        { name: "parked", histogram },
        { name: "polling", histogram: [{ belowUs: 2, packets: 4 }] },
        { name: "idle" },
      ],
    });
    const { series, x } = chartOf("latency", "latency");
    assert.deepEqual(
      [0, 1, 2, 3].map((i) => x.format!(i)),
      ["< 2", "< 5", "< 10", "more"],
    );
    assert.deepEqual(
      series.map(({ name, points }) => [name, points.map(({ x, y }) => [x, y])]),
      [
        [
          "parked",
          [
            [1, 30],
            [2, 60],
            [3, 10],
          ],
        ],
        ["polling", [[0, 100]]],
      ],
    );
  });

  test("a result without rows is left out, and said to be", () => {
    keep("2026-03-01-table.json", { cases: [{ name: "digest-65537", nsPerOperation: 4 }] });
    const { files, left } = drawn(folder);
    assert.deepEqual([...files.keys()], ["workers.svg", "batch.svg", "latency.svg"]);
    assert.deepEqual(left, [
      "engine: 2026-01-03-all.json has no rows that could be drawn",
      "table: 2026-03-01-table.json has no rows that could be drawn",
    ]);
  });

  test("a file that is no JSON object is named", () => {
    keep("2026-04-01-engine.json", "{");
    assert.throws(() => drawn(folder), { code: "PLOTS", message: /2026-04-01-engine\.json is no JSON/ });
    keep("2026-04-01-engine.json", "[]");
    assert.throws(() => drawn(folder), { code: "PLOTS", message: /has no JSON object/ });
  });
});
