// The suites of single functions, quickly.

import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { suite, test } from "node:test";
import type { MicroResult } from "../../bench/micro.ts";
import { quickBench } from "./bench.ts";

/** Nanoseconds; ten times what a quiet machine should take. */
const MOST_STEER_NS = 1500;

function check({ cases }: MicroResult, names: string[]): void {
  assert.deepEqual(
    cases.map(({ name }) => name),
    names,
  );
  for (const { name, nsPerOperation, operationsPerSecond, samples } of cases) {
    assert.ok(nsPerOperation > 0 && samples >= 2, name);
    assert.ok(Math.abs((nsPerOperation * operationsPerSecond) / 1e9 - 1) < 0.002, name);
  }
}

suite("bench", () => {
  test("hash", () => {
    const result = quickBench<MicroResult>("hash");
    const names = ["1-service", "2000-services"].flatMap((services) =>
      ["ipv4", "ipv6"].flatMap((family) => [
        `steer-${family}-${services}`,
        `steer-${family}-not-ours-${services}`,
      ]),
    );
    check(result, names);
    for (const { name, nsPerOperation } of result.cases) assert.ok(nsPerOperation < MOST_STEER_NS, name);
  });

  test("conntrack", () => {
    const result = quickBench<MicroResult>("conntrack");
    check(result, [
      ...["hit-1k", "hit-128k", "hit-1m", "miss", "insert", "evict"],
      ...["sweep-empty-line", "sweep-full-line", "sweep-expired-line"],
    ]);
  });

  test("rings", () => {
    const result = quickBench<MicroResult>("rings");
    const crossing = availableParallelism() < 2 ? [] : ["cross-64", "cross-1"];
    check(result, ["push", "take", "push-and-take", "hand-off", ...crossing]);
    for (const { name, targetNs } of result.cases)
      assert.equal(targetNs, name === "cross-64" ? 3 : undefined);
  });

  test("table", () => {
    const result = quickBench<MicroResult>("table");
    const names = [65537, 655373].flatMap((size) => [
      ...[10, 100, 1000].map((backends) => `build-${size}-${backends}`),
      `digest-${size}`,
    ]);
    check(result, names);
    for (const { name, nsPerOperation, targetNs } of result.cases) {
      if (targetNs !== undefined) assert.ok(nsPerOperation < 10 * targetNs, `${name}: ${nsPerOperation} ns`);
    }
  });
});
