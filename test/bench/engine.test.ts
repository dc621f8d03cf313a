// `bench engine --quick`: that it measures what it says. How fast it is on a busy machine is nobody's business, but a
// number ten times too high is a defect.

import assert from "node:assert/strict";
import { before, suite, test } from "node:test";
import type { EngineResult } from "../../bench/engine.ts";
import { quickBench } from "./bench.ts";

/** Ten times what a quiet machine should take. */
const MOST_NS = { hit: 600, new: 1500 };

suite("bench engine", () => {
  let result: EngineResult;
  before(() => {
    result = quickBench<EngineResult>("engine");
  });

  test("has all scenarios, in order", () => {
    const names = ["ipv4", "ipv6"].flatMap((family) => [
      ...["hit-1k", "hit-128k", "hit-1m", "hit-4m", "new"].map((what) => `${family}-l2-${what}`),
      ...["gre", "ipip", "gue", "nat"].flatMap((mode) =>
        ["hit-1k", "new"].map((what) => `${family}-${mode}-${what}`),
      ),
      ...["vips-4096", "vips-4096-spread", "prefix"].map((what) => `${family}-l2-hit-128k-${what}`),
    ]);
    assert.deepEqual(
      result.scenarios.map(({ name }) => name),
      names,
    );
  });

  test("counts are consistent", () => {
    for (const { name, nsPerPacket, mpps, spread, packets, hits, verified } of result.scenarios) {
      const opens = name.endsWith("new");
      assert.ok(opens ? hits === 0 : hits >= 0.999 * packets && hits <= packets, `${name}: ${hits} hits`);
      assert.ok(packets > 0 && verified >= 100, `${name}: ${verified} of ${packets} compared`);
      assert.ok(Math.abs(mpps * nsPerPacket - 1000) < 2, `${name}: ${mpps} Mpps, ${nsPerPacket} ns`);
      assert.ok(spread >= 0, name);
      assert.ok(
        nsPerPacket > 1 && nsPerPacket < (opens ? MOST_NS.new : MOST_NS.hit),
        `${name}: ${nsPerPacket} ns`,
      );
    }
  });
});
