import assert from "node:assert/strict";
import { test } from "node:test";
import { takeWeights } from "../../src/plan/weights.ts";
import { numbered, web } from "./documents.ts";

test("a weight that was set by hand stays until the configuration says another one", () => {
  const weights = (...of: number[]) => web(numbered(3).map((each, i) => ({ ...each, weight: of[i]! })));
  const [before, after] = [weights(1, 1, 1), weights(1, 4, 1)];
  const inForce: Record<string, number> = { "web-1": 7, "web-2": 7 };
  takeWeights(before, after, (_pool, name) => inForce[name]);
  const found = [before, after].map(({ pools }) => pools.web!.backends.map(({ weight }) => weight));
  assert.deepEqual(found, [
    [7, 7, 1],
    [7, 4, 1],
  ]);
});
