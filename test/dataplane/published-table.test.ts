import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { PublishedTable } from "../../src/dataplane/published-table.ts";

const NAMES = new Map([
  [3, "a"],
  [7, "b"],
  [9, "c"],
]);
const tableOf = (slots: number[], size = slots.length, names = NAMES) =>
  new PublishedTable({ size, slots: Uint16Array.from(slots), generation: 1, buildMs: 2 }, names);

suite("a published table", () => {
  test("names in slot order, and the parts of them", () => {
    const table = tableOf([3, 7, 3, 3]);
    assert.deepEqual(table.entries(), ["a", "b", "a", "a"]);
    assert.deepEqual(
      [3, 7, 9, 1].map((id) => table.share(id)),
      [0.75, 0.25, 0, 0],
    );
  });

  test("the digest is of names and size, not of ids", () => {
    const { digest } = tableOf([3, 7, 3]);
    assert.equal(
      tableOf(
        [1, 2, 1],
        3,
        new Map([
          [1, "a"],
          [2, "b"],
        ]),
      ).digest,
      digest,
    );
    for (const other of [tableOf([3, 7, 7]), tableOf([3, 7, 3], 5), tableOf([7, 3, 7])])
      assert.notEqual(other.digest, digest);
  });

  test("nobody takes flows", () => {
    const table = tableOf([], 251);
    assert.deepEqual([table.entries(), table.share(3), table.size], [[], 0, 251]);
    assert.match(table.digest, /./);
  });
});
