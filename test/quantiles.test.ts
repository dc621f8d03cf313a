// The interval of a median covers it as often as it says: counted by the binomial distribution.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { median, medianInterval, quantile, spread } from "../src/quantiles.ts";

/** Probability that at least `low` and at most `high` of n values are below the true median. */
function coverage(n: number, low: number, high: number): number {
  let [choose, sum] = [1, 0];
  for (let k = 0; k <= n; k++) {
    if (k >= low && k <= high) sum += choose;
    choose = (choose * (n - k)) / (k + 1);
  }
  return sum / 2 ** n;
}

suite("quantiles", () => {
  test("of values in any order", () => {
    assert.equal(median([9, 1, 5]), 5);
    assert.equal(median([4, 1, 3, 2]), 2.5);
    assert.equal(quantile([10, 20], 0.25), 12.5);
    assert.equal(spread([10, 10, 10]), 0);
  });

  test("the interval of a median covers it in about 95 of 100 cases", () => {
    for (let n = 6; n <= 60; n++) {
      const [low, high] = medianInterval(Array.from({ length: n }, (_, i) => i + 1));
      assert.equal(low + high, n + 1, `${n} values: ${low} to ${high} lies in the middle`);
      const covered = coverage(n, low, high - 1);
      assert.ok(covered > 0.92 && covered < 0.995, `${n} values: ${covered}`);
    }
  });

  test("a few values: all of their range", () => {
    assert.deepEqual(medianInterval([3, 1, 2]), [1, 3]);
    assert.deepEqual(medianInterval([7]), [7, 7]);
  });
});
