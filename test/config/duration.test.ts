import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatDuration, parseDuration } from "../../src/config/duration.ts";

test("durations have one of four units", () => {
  assert.equal(parseDuration("500ms"), 500);
  assert.equal(parseDuration("30s"), 30_000);
  assert.equal(parseDuration("15m"), 900_000);
  assert.equal(parseDuration("1h"), 3_600_000);
  assert.equal(parseDuration("0s"), 0);
});

test("anything else is no duration", () => {
  for (const text of ["", "30", "s", "30 s", "-1s", "1.5s", "1h30m", "30S", "1d", "30s ", "1e3s"])
    assert.equal(parseDuration(text), undefined, text);
});

test("what is formatted can be parsed again", () => {
  fc.assert(
    fc.property(fc.nat(), (ms) => {
      assert.equal(parseDuration(formatDuration(ms)), ms);
    }),
  );
  assert.equal(formatDuration(900_000), "15m");
  assert.equal(formatDuration(1500), "1500ms");
});
