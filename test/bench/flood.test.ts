// `bench flood --quick`: that established flows survive a flood larger than the table, and that it says so.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { FloodResult } from "../../bench/flood.ts";
import { quickBench } from "./bench.ts";

test("bench flood", () => {
  const { cases } = quickBench<FloodResult>("flood");
  assert.equal(cases.length, 2);
  const [open, limited] = cases;
  for (const { established, entries, capacity, rssMiB } of cases) {
    const { flows, packets, lost, moved } = established;
    assert.deepEqual([flows, lost, moved], [10_000, 0, 0]);
    assert.ok(packets > 10 * flows, `${packets} packets`);
    assert.ok(entries >= flows && entries <= capacity);
    assert.ok(rssMiB.after - rssMiB.before <= 48);
  }
  assert.ok(open!.flood.flows > open!.capacity && open!.flood.entered === open!.flood.flows);
  assert.ok(open!.flood.evicted > 0 && open!.entries > 0.9 * open!.capacity);
  assert.ok(limited!.flood.entered < limited!.flood.flows / 2 && limited!.flood.evicted === 0);
});
