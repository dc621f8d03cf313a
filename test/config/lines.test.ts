import assert from "node:assert/strict";
import { test } from "node:test";
import { Lines } from "../../src/config/lines.ts";

test("lines and columns count from 1, and a line ends with its newline", () => {
  const lines = new Lines("ab\n\ncd");
  const found = [0, 1, 2, 3, 4, 5, 6].map((offset) => lines.position(offset));
  assert.deepEqual(
    found.map(({ line, column }) => `${line}:${column}`),
    ["1:1", "1:2", "1:3", "2:1", "3:1", "3:2", "3:3"],
  );
});

test("an offset outside is at the end or the start", () => {
  assert.deepEqual(new Lines("a\nb").position(99), { line: 2, column: 2 });
  assert.deepEqual(new Lines("").position(-1), { line: 1, column: 1 });
});
