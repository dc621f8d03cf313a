// The self-test after a change: what is wrong counts at once, what is late once more.

import assert from "node:assert/strict";
import { test } from "node:test";
import { anyConfig, Rig } from "../../engine/rig.ts";
import { Bed, INTERVAL_MS } from "./bed.ts";

const newBed = () => new Bed(new Rig(anyConfig(), { workers: 2, selfTest: true }));

test("workers that answer pass", async () => {
  assert.deepEqual(await newBed().health.verify(), []);
});

test("a worker that gets no processor for a while passes, and the lateness is counted", async () => {
  const bed = newBed();
  bed.still.add(1);
  setTimeout(() => {
    bed.still.delete(1);
    bed.rig.run(1);
  }, 1.5 * INTERVAL_MS);
  assert.deepEqual(await bed.health.verify(), []);
  assert.ok(bed.health.status().workers[1]!.failures > 0);
});

test("a worker that stands still does not", async () => {
  const bed = newBed();
  bed.still.add(0);
  const problems = await bed.health.verify();
  assert.equal(problems.length, 1);
  assert.match(problems[0]!, /^worker 0: no answer for \d+ ms: the packet was not taken/);
});

test("one wrong answer is enough", async () => {
  const bed = newBed();
  const { arena, directory } = bed.rig.engine;
  const cells = directory.backends.filter(Boolean).map(({ id }) => directory.backendRecord(id) / 8);
  let left = 1;
  bed.instead = (worker) => {
    const isWrong = worker === 1 && left-- > 0;
    const flip = () => {
      for (const at of cells) arena.u64[at]! ^= 0xffn << 40n;
    };
    // Only while the worker works: nobody but the packet can tell.
    if (isWrong) flip();
    bed.rig.run(worker);
    if (isWrong) flip();
  };
  const problems = await bed.health.verify();
  assert.equal(problems.length, 1);
  assert.match(problems[0]!, /^worker 1: .*differs at byte/);
  assert.equal(bed.health.status().workers[1]!.failures, 1);
});
