// The recommendation, from made-up measurements.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { findKnee, type Sample } from "../../src/tune/knee.ts";
import { choicesOf, workerCounts } from "../../src/tune/settings.ts";

const sample = (workers: number, mpps: number[]): Sample => ({ workers, batch: 64, pinned: false, mpps });
/** Turns around a value, the same disturbances for everybody. */
const around = (value: number) => [1, 0.98, 1.01, 0.7, 1.02, 0.99, 1, 0.5, 1].map((factor) => value * factor);

suite("knee", () => {
  test("the smallest within the tolerance of the fastest, not the fastest", () => {
    const { knee, best, byNoise } = findKnee(
      [sample(1, around(10)), sample(2, around(20)), sample(3, around(20.4)), sample(4, around(20.6))],
      0.05,
    );
    assert.deepEqual([knee.workers, best.workers, byNoise], [2, 4, false]);
  });

  test("what disturbs all of them does not count", () => {
    const { knee, noise } = findKnee([sample(1, around(10)), sample(2, around(19))], 0.05);
    assert.equal(knee.workers, 2);
    assert.ok(noise < 1e-9, `${noise}`);
    assert.ok(
      Math.abs(findKnee([sample(1, around(10)), sample(2, around(19))], 0.05).rows[0]!.ratio - 10 / 19) <
        1e-9,
    );
  });

  test("the fastest is taken where nothing smaller comes close", () => {
    const { knee, best } = findKnee(
      [sample(1, around(10)), sample(2, around(15)), sample(3, around(20))],
      0.05,
    );
    assert.equal(knee, best);
  });

  test("luck is not taken for throughput", () => {
    // The same throughput in truth: sometimes one, sometimes the other is 8% slower.
    const one = [92, 100, 92, 100, 92, 92, 100, 92, 92];
    const other = [100, 92, 100, 100, 100, 100, 92, 100, 92];
    const { knee, best, byNoise } = findKnee([sample(1, one), sample(2, other)], 0.05);
    assert.deepEqual([knee.workers, best.workers, byNoise], [1, 2, true]);
  });

  test("noise excuses no more than a tenth", () => {
    const one = [70, 110, 70, 110, 70, 70, 110, 70, 70];
    const other = [100, 100, 100, 100, 100, 100, 100, 100, 100];
    const { knee } = findKnee([sample(1, one), sample(2, other)], 0.05);
    assert.equal(knee.workers, 2);
  });
});

suite("settings", () => {
  test("from the smallest: workers, batch, pinning; each once", () => {
    const choices = choicesOf({ workers: [2, 1, 2], batch: [64, 8], pinned: [true, false] });
    assert.deepEqual(
      choices.map(({ workers, batch, pinned }) => [workers, batch, pinned]),
      [1, 2].flatMap((workers) =>
        [8, 64].flatMap((batch) => [false, true].map((pinned) => [workers, batch, pinned])),
      ),
    );
  });

  test("every number of workers up to 8, then every fourth, and the last", () => {
    assert.deepEqual(workerCounts(2), [1, 2]);
    assert.deepEqual(workerCounts(18), [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 18]);
  });
});
