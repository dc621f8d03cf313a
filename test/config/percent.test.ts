import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePercent } from "../../src/config/percent.ts";

test("percentages are fractions of 1", () => {
  for (const [text, fraction] of [
    ["0%", 0],
    ["5%", 0.05],
    ["0.25%", 0.0025],
    ["100%", 1],
    ["100.0%", 1],
  ] as const)
    assert.equal(parsePercent(text), fraction, text);
});

test("anything else is none", () => {
  for (const text of [
    "",
    "%",
    "5",
    "0.05",
    "-1%",
    "100.1%",
    "1e1%",
    " 5%",
    "5 %",
    "5%%",
    ".5%",
    "5.%",
    "NaN%",
  ])
    assert.equal(parsePercent(text), undefined, text);
});
