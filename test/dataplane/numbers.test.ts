// Every state of a number, and what is said when there are none left.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Numbers } from "../../src/dataplane/numbers.ts";

suite("numbers", () => {
  test("free to in use: the smallest, and the same key keeps its own", () => {
    const numbers = new Numbers("things", 1, 4);
    assert.deepEqual([numbers.take("a"), numbers.take("b"), numbers.take("a")], [1, 2, 1]);
    assert.deepEqual([numbers.get("b"), numbers.get("c")], [2, undefined]);
    assert.deepEqual(numbers.keys(), ["a", "b"]);
  });

  test("in use to resting to free: nobody gets it before it is ready, and its end is told first", () => {
    const numbers = new Numbers("things", 0, 3);
    for (const key of ["a", "b"]) numbers.take(key);
    let ready = false;
    const told: (number | undefined)[] = [];
    numbers.rest(
      "a",
      () => ready,
      () => told.push(numbers.get("a"), numbers.resting),
    );
    assert.deepEqual([numbers.get("a"), numbers.resting], [undefined, 1]);
    numbers.reclaim();
    assert.equal(numbers.take("a"), 2, "the key may come again, under another number");
    assert.deepEqual(told, []);
    ready = true;
    numbers.reclaim();
    assert.deepEqual([told, numbers.resting], [[2, 0], 0]);
    assert.equal(numbers.take("c"), 0);
  });

  test("full: how many fit, how many rest, what to do; and room again when one is ready", () => {
    const numbers = new Numbers("things", 1, 4);
    for (const key of ["a", "b", "c"]) numbers.take(key);
    let ready = false;
    numbers.rest("b", () => ready);
    assert.throws(() => numbers.take("d"), {
      code: "CAPACITY",
      message:
        /^this process has room for 3 things, 1 of which left a short while ago: try again in a few minutes, or restart/,
    });
    assert.equal(numbers.get("d"), undefined);
    ready = true;
    numbers.reclaim();
    assert.equal(numbers.take("d"), 2);
  });

  test("reserved to in use or resting: keys of before keep theirs, and nobody else gets one", () => {
    const numbers = new Numbers("things", 1, 9);
    numbers.reserve({
      named: [
        ["a", 2],
        ["b", 5],
      ],
      resting: [3],
    });
    assert.deepEqual(
      [numbers.get("b"), numbers.take("x"), numbers.take("b"), numbers.take("y")],
      [undefined, 1, 5, 4],
    );
    let ready = false;
    numbers.restReserved(() => ready);
    assert.deepEqual(numbers.numbering(), {
      named: [
        ["x", 1],
        ["b", 5],
        ["y", 4],
      ],
      resting: [2, 3],
    });
    assert.equal(numbers.take("a"), 6, "the key may come again, under another number");
    ready = true;
    numbers.reclaim();
    assert.deepEqual([numbers.take("c"), numbers.take("d"), numbers.take("e")], [2, 3, 7]);
  });

  test("drop: free at once, and others stay as they are", () => {
    const numbers = new Numbers("things", 0, 9);
    for (const key of ["a", "b", "c"]) numbers.take(key);
    numbers.rest("a", () => false);
    numbers.drop("b");
    assert.deepEqual([numbers.take("d"), numbers.get("c"), numbers.resting], [1, 2, 1]);
  });

  test("given back in any order, taken again from the smallest", () => {
    const numbers = new Numbers("things", 0, 12);
    const keys = Array.from({ length: 12 }, (_, i) => `${i}`);
    for (const key of keys) numbers.take(key);
    for (const key of ["10", "3", "7", "11", "2"]) numbers.rest(key, () => true);
    numbers.reclaim();
    assert.deepEqual(
      ["p", "q", "r", "s", "t"].map((key) => numbers.take(key)),
      [2, 3, 7, 10, 11],
    );
  });
});
