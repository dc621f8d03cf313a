// docs/verdicts.md names every reason, with its verdict, cause and cure.
import assert from "node:assert/strict";
import { test } from "node:test";
import { reasons, verdictOf } from "../../src/dataplane/reasons.ts";
import { read } from "./sources.ts";

const rows = read("docs/verdicts.md")
  .split("## Reasons")[1]!
  .split("\n")
  .filter((line) => line.startsWith("| `"))
  .map((line) => line.split("|").slice(1, -1))
  .map((cells) => cells.map((cell) => cell.trim()));

test("the table has the reasons in the order of their codes, with their verdicts", () => {
  const expected = [...reasons].map(([code, name]) => [`\`${name}\``, verdictOf(code)]);
  assert.deepEqual(
    rows.map(([name, verdict]) => [name, verdict]),
    expected,
  );
});

test("every reason has a cause and a cure", () => {
  for (const row of rows) {
    assert.equal(row.length, 4, row.join());
    assert.ok(
      row.every((cell) => cell.length > 0),
      row.join(),
    );
  }
});
