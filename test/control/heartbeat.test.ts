// Workers that turn, sleep and get stuck.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Heartbeat } from "../../src/control/heartbeat.ts";

test("a worker that makes no pass for two seconds is stuck, until it makes one", () => {
  let now = 5000;
  const passes = [1, 4294967295];
  const heartbeat = new Heartbeat(
    () => passes,
    () => now,
  );
  const at = (ms: number, ...counts: number[]) => {
    now = 5000 + ms;
    passes.splice(0, 2, ...counts);
    return heartbeat.stuck();
  };
  assert.deepEqual(at(0, 1, 4294967295), [], "the first look knows nothing");
  assert.deepEqual(at(1900, 1, 0), [], "the count wraps");
  assert.deepEqual(at(2000, 1, 1), [0]);
  assert.deepEqual(at(3000, 2, 1), []);
  assert.deepEqual(at(4000, 3, 1), [1]);
  assert.deepEqual(at(9000, 3, 1), [0, 1], "as long as nobody looked");
  assert.deepEqual(at(9100, 4, 2), []);
});
