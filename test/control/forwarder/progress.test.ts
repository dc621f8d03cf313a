// Workers that turn, sleep and get stuck, by their heartbeats alone.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as L from "../../../assembly/layout.ts";
import { Progress } from "../../../src/control/forwarder/progress.ts";
import { Rig } from "../../engine/rig.ts";

test("a worker that makes no pass for two seconds is stuck, until it makes one", () => {
  const backends = [{ name: "a", address: "10.0.0.21" }];
  const vips = [{ name: "web", address: "10.99.0.1", port: 80, pool: "web" }];
  const config = { conntrack: { flows: 1000 }, pools: { web: { tableSize: 251, backends } }, vips };
  const { engine } = new Rig(config, { workers: 2 });
  const { arena } = engine;
  const beat = (...passes: number[]) => {
    for (const [worker, count] of passes.entries())
      arena.setWord(arena.workerBlock(worker) + L.WORKER_HEARTBEAT, count);
  };
  beat(1, 4_294_967_295);
  const progress = new Progress(engine, 0);
  const at = (ms: number, ...passes: number[]) => {
    beat(...passes);
    return progress.silent(ms, 2000);
  };
  assert.deepEqual(at(0, 1, 4_294_967_295), [], "the first look knows nothing");
  assert.deepEqual(at(1900, 1, 0), [], "the count wraps");
  assert.deepEqual(at(2000, 1, 1), [0]);
  assert.deepEqual(at(3000, 2, 1), []);
  assert.deepEqual(at(4000, 3, 1), [1]);
  assert.deepEqual(at(9000, 3, 1), [0, 1], "as long as nobody looked");
  assert.deepEqual(at(9100, 4, 2), []);
  assert.deepEqual(at(15_000, 5, 3), [], "nor is one that went on while nobody looked");
  // A look for another reason counts as well.
  beat(6, 3);
  assert.deepEqual(progress.look(15_500, 250), [undefined, "its loop has stood still for 500 ms"]);
  assert.deepEqual(at(17_400, 6, 3), [1]);
  assert.deepEqual(at(17_500, 6, 3), [0, 1]);
});
