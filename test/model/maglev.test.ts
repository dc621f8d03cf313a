import assert from "node:assert/strict";
import { test } from "node:test";
import { maglevTable, populate } from "./maglev.ts";

const row = (offset: number, skip: number, weight = 1) => ({ offset, skip, weight });

test("the paper's example: permutations of three backends over seven slots", () => {
  assert.deepEqual(populate(7, [row(3, 4), row(0, 2), row(3, 1)]), [1, 0, 1, 0, 2, 2, 0]);
});

test("the paper's example after B1 was removed", () => {
  const [b0, b2] = [0, 2];
  const entries = populate(7, [row(3, 4), row(3, 1)]).map((index) => [b0, b2][index]);
  assert.deepEqual(entries, [0, 0, 0, 0, 2, 2, 2]);
});

test("Envoy's published table of six hosts over seven slots", () => {
  const backends = [90, 91, 92, 93, 94, 95].map((port, id) => ({ id, name: `127.0.0.1:${port}`, weight: 1 }));
  assert.deepEqual(maglevTable(7, backends), [2, 4, 0, 1, 5, 0, 3]);
  assert.deepEqual(maglevTable(7, backends.toReversed()), [2, 4, 0, 1, 5, 0, 3], "in any order");
});

test("with equal weights two backends differ by at most one slot", () => {
  const backends = Array.from({ length: 10 }, (_, id) => ({ id, name: `web-${id}`, weight: 3 }));
  const counts = Array<number>(10).fill(0);
  for (const id of maglevTable(1021, backends)) counts[id]!++;
  assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, `${counts}`);
});

test("slots follow weights", () => {
  const weights = [1, 2, 4];
  const backends = weights.map((weight, id) => ({ id, name: `web-${id}`, weight }));
  const counts = [0, 0, 0];
  for (const id of maglevTable(7001, backends)) counts[id]!++;
  for (const [id, weight] of weights.entries())
    assert.ok(Math.abs(counts[id]! - weight * 1000) <= 2, `${counts}`);
});

test("weight 0 takes no slot, and nothing with weight makes an empty table", () => {
  const backends = [
    { id: 1, name: "a", weight: 0 },
    { id: 2, name: "b", weight: 5 },
  ];
  assert.deepEqual(new Set(maglevTable(11, backends)), new Set([2]));
  assert.deepEqual(maglevTable(11, backends.slice(0, 1)), []);
  assert.deepEqual(maglevTable(11, []), []);
});
