// A shuffled order comes to each number once, and to each again in another order.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Shuffle } from "../../src/io/shuffle.ts";

suite("shuffle", () => {
  for (const bound of [1, 2, 3, 64, 1000, 1 << 16, 100_003]) {
    test(`each number below ${bound} once in every round`, () => {
      const shuffle = new Shuffle(bound);
      for (let round = 0; round < 3; round++) {
        const seen = new Set(Array.from({ length: bound }, () => shuffle.next()));
        assert.equal(seen.size, bound);
        for (const number of seen) assert.ok(number >= 0 && number < bound);
      }
    });
  }

  test("the order is not that of the numbers, and changes from round to round", () => {
    const shuffle = new Shuffle(1000);
    const rounds = [0, 1].map(() => Array.from({ length: 1000 }, () => shuffle.next()));
    const neighbours = rounds[0]!.filter((number, i) => i > 0 && number === rounds[0]![i - 1]! + 1);
    assert.ok(neighbours.length < 20, `${neighbours.length} numbers follow their predecessor`);
    assert.notDeepEqual(rounds[0], rounds[1]);
  });
});
