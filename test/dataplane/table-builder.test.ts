// The builder in WebAssembly against the plain model of the same definition, and against published tables.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { buildMaglev, tableDigest } from "../../src/dataplane/table-builder.ts";
import { maglevTable } from "../model/maglev.ts";
import { runs } from "../runs.ts";

interface Backend {
  id: number;
  name: string;
  weight: number;
}

const build = (size: number, backends: readonly Backend[]) =>
  Array.from(
    buildMaglev(
      size,
      backends.map(({ id, name, weight }) => ({ id, key: name, weight })),
    ),
  );

/** Names of one byte and of many, with letters beyond ASCII: the order is that of the bytes. */
const name = fc.oneof(
  fc.string({ unit: "binary", minLength: 1, maxLength: 80 }),
  fc.constantFrom("a", "b", "ab", "A", "é", "z", "10.0.0.1:80", "10.0.0.1:8080", "[fd00::1]:80"),
);
const weight = fc.oneof(
  { weight: 4, arbitrary: fc.constant(1) },
  { weight: 2, arbitrary: fc.nat(10) },
  { weight: 1, arbitrary: fc.constantFrom(0, 255, 65535) },
);
const backends = (most: number): fc.Arbitrary<Backend[]> =>
  fc
    .uniqueArray(fc.record({ name, weight }), { selector: (each) => each.name, maxLength: most })
    .map((list) => list.map((each, i) => ({ ...each, id: 65535 - i })));

/** Size, most backends, sets of them. */
const SETS = [
  [2, 6, 100],
  [3, 6, 100],
  [7, 12, 200],
  [251, 40, 100],
  [65537, 60, 6],
] as const;

suite("lookup table", () => {
  for (const [size, most, times] of SETS) {
    test(`${size} slots, up to ${most} backends: what the model builds`, () => {
      fc.assert(
        fc.property(backends(most), (list) => {
          assert.deepEqual(build(size, list), maglevTable(size, list));
        }),
        { numRuns: times, seed: runs.seed },
      );
    });
  }

  test("many backends, equal weights: what the model builds", () => {
    const list = Array.from({ length: 500 }, (_, i) => ({ id: i + 1, name: `backend-${i}`, weight: 1 }));
    assert.deepEqual(build(65537, list), maglevTable(65537, list));
  });

  test("more backends than slots", () => {
    const list = Array.from({ length: 20 }, (_, i) => ({ id: i + 1, name: `backend-${i}`, weight: 1 }));
    for (const size of [2, 3, 7]) assert.deepEqual(build(size, list), maglevTable(size, list));
  });

  test("Envoy's published table", () => {
    const list = [90, 91, 92, 93, 94, 95].map((port, id) => ({ id, name: `127.0.0.1:${port}`, weight: 1 }));
    assert.deepEqual(build(7, list), [2, 4, 0, 1, 5, 0, 3]);
  });

  test("nothing to share out", () => {
    assert.deepEqual(build(7, []), []);
    assert.deepEqual(build(7, [{ id: 1, name: "a", weight: 0 }]), []);
  });

  test("one backend has every slot", () => {
    assert.deepEqual(build(251, [{ id: 9, name: "a", weight: 3 }]), Array(251).fill(9));
  });

  test("the order of the backends is of no consequence", () => {
    fc.assert(
      fc.property(backends(10), (list) => {
        assert.deepEqual(build(251, list), build(251, list.toReversed()));
      }),
      { numRuns: 30, seed: runs.seed },
    );
  });

  test("a table stays what it was when another is built", () => {
    const list = [
      { id: 1, name: "a", weight: 1 },
      { id: 2, name: "b", weight: 1 },
    ];
    const table = buildMaglev(
      7,
      list.map(({ name, ...rest }) => ({ key: name, ...rest })),
    );
    const before = [...table];
    build(655373, list);
    assert.deepEqual([...table], before);
  });

  test("the greatest table that a configuration may ask for", () => {
    const size = 16_777_213;
    const table = buildMaglev(size, [
      { key: "a", weight: 1, id: 1 },
      { key: "b", weight: 1, id: 2 },
    ]);
    assert.equal(table.length, size);
    const first = table.reduce((count, id) => count + Number(id === 1), 0);
    assert.ok(Math.abs(2 * first - size) === 1, `${first} of ${size}`);
  });
});

suite("digest", () => {
  test("SHA-256 over the size and the names, each with a newline", () => {
    // printf '3\na\nb\na\n' | sha256sum
    assert.equal(
      tableDigest(3, ["a", "b", "a"]),
      "ec9cbaeefa3c80dcf90ce07661514e0769a4bf20753f0abda05ff5c4f66aac44",
    );
    assert.notEqual(tableDigest(3, ["a", "b", "a"]), tableDigest(3, ["a", "a", "b"]));
    assert.notEqual(tableDigest(3, ["ab", "c"]), tableDigest(3, ["a", "bc"]));
  });
});
