// The suites with threads, quickly: rows, counts and what follows from what; never how fast it was.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { LatencyResult } from "../../bench/latency.ts";
import type { ScaleResult } from "../../bench/scale.ts";
import type { SwapResult } from "../../bench/swap.ts";
import { guideway } from "../commands/guideway.ts";
import { quickBench } from "./bench.ts";

suite("bench", () => {
  test("scale: a row for 1, 2, 4 … workers and the most", () => {
    const { rows, targetRatio } = quickBench<ScaleResult>("scale", "--workers", "3");
    assert.deepEqual(
      rows.map(({ workers }) => workers),
      [1, 2, 3],
    );
    assert.equal(targetRatio, 1.9);
    assert.deepEqual([rows[0]!.ratio, rows[0]!.roundsRatio], [1, 1]);
    for (const {
      workers,
      ratio,
      ratioQuartiles,
      efficiency,
      mpps,
      nsPerPacket,
      roundsRatio,
      wallMpps,
      packets,
    } of rows) {
      assert.ok(
        mpps > 0 && nsPerPacket > 0 && roundsRatio > 0 && wallMpps > 0 && wallMpps <= mpps,
        `${workers}`,
      );
      assert.ok(Math.abs(efficiency * workers - ratio) < 0.02, `${workers}: ${efficiency}, ${ratio}`);
      assert.ok(ratioQuartiles[0] <= ratio && ratio <= ratioQuartiles[1], `${workers}`);
      // Each thread sends at least one full ring in a turn.
      assert.ok(packets >= 2 * workers * 2048, `${workers}: ${packets} packets`);
    }
  });

  test("swap: everything is swapped while packets flow", () => {
    const { cases, workers, blocks } = quickBench<SwapResult>("swap", "--workers", "1");
    assert.deepEqual(
      cases.map(({ name }) => name),
      ["hits", "lookups"],
    );
    assert.equal(workers, 1);
    assert.equal(blocks, 5);
    for (const { name, mpps, loss, lossQuartiles, pairs, swaps, everyMs, packets } of cases) {
      assert.equal(pairs, 2, name);
      assert.ok(mpps.without > 0 && mpps.with > 0 && packets >= 2 * pairs * 2048, name);
      assert.ok(lossQuartiles[0] <= loss && loss <= lossQuartiles[1] && loss < 1, name);
      // At most one a millisecond, in two turns of 60 ms.
      assert.ok(swaps > 2 && swaps <= 122 && everyMs > 0, `${name}: ${swaps} swaps`);
    }
  });

  test("latency: percentiles, a histogram of all packets, and idle workers", () => {
    const { cases, idle } = quickBench<LatencyResult>("latency", "--workers", "2");
    assert.deepEqual(
      cases.map(({ name }) => name),
      ["parked", "polling"],
    );
    for (const { name, packets, us, histogram } of cases) {
      assert.ok(packets > 20 && packets <= 100, `${name}: ${packets} packets`);
      assert.ok(us.p50 > 0 && us.p50 <= us.p90 && us.p90 <= us.p99 && us.p99 <= us.max, name);
      assert.equal(
        histogram.reduce((sum, bucket) => sum + bucket.packets, 0),
        packets,
      );
      const bounds = histogram.map(({ belowUs }) => belowUs ?? Number.POSITIVE_INFINITY);
      assert.deepEqual(
        bounds,
        bounds.toSorted((a, b) => a - b),
      );
      const last = histogram.at(-1)!;
      assert.ok(last.packets > 0 && us.max <= (last.belowUs ?? Number.POSITIVE_INFINITY), name);
    }
    assert.equal(idle.workers, 2);
    assert.ok(idle.share >= 0 && idle.most >= idle.share / 2 && idle.most < 1, JSON.stringify(idle));
  });

  test("--workers takes a number of workers", () => {
    for (const wrong of ["0", "33", "two", "1.5"]) {
      const { status, stderr } = guideway(["bench", "scale", "--workers", wrong]);
      assert.notEqual(status, 0, wrong);
      assert.match(stderr, /Expected a number from 1 to \d+/, wrong);
    }
  });
});
