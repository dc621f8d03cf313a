// How many new flows a second get an entry: counted in one shard, where the limit is a 256th.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { stringify } from "yaml";
import { parseConfig } from "../../src/config/load.ts";
import { OfflineEngine, type OfflineResult } from "../../src/io/offline.ts";
import { type Flow, nthFlow, packetOf, type Service } from "./collisions.ts";
import { anyConfig } from "./rig.ts";

const WEB: Service = { number: 2, address: "10.99.0.1", protocol: "tcp", port: 80 };
const SHARD = 7n;
/** Flows that a shard takes in a second. */
const RATE = 10;

/** The first flows of one shard. */
function flowsOfShard(shard: bigint, count: number): Flow[] {
  const found: Flow[] = [];
  for (let n = 0; found.length < count; n++) {
    const flow = nthFlow(WEB, n);
    if ((flow.key & 255n) === shard) found.push(flow);
  }
  return found;
}

function engineWith(newFlowsPerSecond: number, workers = 1): OfflineEngine {
  const conntrack = { flows: 100_000, newFlowsPerSecond };
  const { config } = parseConfig(stringify(anyConfig({ conntrack })), "admission.yaml");
  return new OfflineEngine(config, { workers, inline: true });
}

const reasonsOf = (results: readonly OfflineResult[]) => results.map(({ reason }) => reason);
const times = (count: number, reason: string) => Array<string>(count).fill(reason);

suite("new flows a second", () => {
  const flows = flowsOfShard(SHARD, 40);
  const send = (engine: OfflineEngine, some: Flow[], timeMs: number, flags = "S") =>
    engine.process(some.map((flow) => ({ bytes: packetOf(flow, flags), timeMs })));

  test("a second's worth at once, then as many as the rate allows, and hits always", async () => {
    const engine = engineWith(256 * RATE);
    const first = await send(engine, flows.slice(0, RATE + 3), 0);
    assert.deepEqual(reasonsOf(first), [...times(RATE, "new"), ...times(3, "table")]);
    assert.ok(first.every(({ verdict, backend }) => verdict === "forward" && backend !== 0));
    assert.deepEqual(reasonsOf(await send(engine, flows.slice(0, RATE + 1), 0, "A")), [
      ...times(RATE, "hit"),
      "table",
    ]);
    // 112 ms make one whole flow of 100 ms, 304 ms two more: the clock steps by 16 ms.
    assert.deepEqual(reasonsOf(await send(engine, flows.slice(20, 23), 112)), ["new", "table", "table"]);
    assert.deepEqual(reasonsOf(await send(engine, flows.slice(23, 27), 304)), [
      "new",
      "new",
      "table",
      "table",
    ]);
    // However long it was quiet, the bucket holds no more than a second's worth.
    assert.deepEqual(reasonsOf(await send(engine, flows.slice(27, 40), 60_000)), [
      ...times(RATE, "new"),
      ...times(3, "table"),
    ]);
  });

  test("a flow without an entry keeps its backend, and its next packets may still be entered", async () => {
    const engine = engineWith(256);
    const [one, two] = flows;
    assert.deepEqual(reasonsOf(await send(engine, [one!, two!], 0)), ["new", "table"]);
    const again = await send(engine, [two!, two!], 16, "A");
    const later = await send(engine, [two!, two!], 1008, "A");
    assert.deepEqual(reasonsOf([...again, ...later]), ["table", "table", "new", "hit"]);
    assert.equal(new Set([...again, ...later].map(({ backend }) => backend)).size, 1);
  });

  test("a rate below 256 still lets a flow in now and then, in each shard", async () => {
    const engine = engineWith(64);
    assert.deepEqual(reasonsOf(await send(engine, flows.slice(0, 2), 0)), ["new", "table"]);
    assert.deepEqual(reasonsOf(await send(engine, flows.slice(2, 4), 3984)), ["table", "table"]);
    assert.deepEqual(reasonsOf(await send(engine, flows.slice(4, 6), 4000)), ["new", "table"]);
    const other = flowsOfShard(SHARD + 1n, 2);
    assert.deepEqual(reasonsOf(await send(engine, other, 4000)), ["new", "table"]);
  });

  test("flows whose backend died are entered whatever the rate", async () => {
    const engine = engineWith(256 * RATE);
    const { directory } = engine.engine;
    const before = await send(engine, flows.slice(0, RATE), 0);
    const dead = before[0]!.backend;
    directory.setBackendState(dead, "dead");
    const after = await send(engine, flows.slice(0, RATE), 0, "A");
    for (const [i, { reason, track, backend }] of after.entries()) {
      if (before[i]!.backend !== dead) assert.equal(reason, "hit");
      else assert.deepEqual([reason, track, backend !== dead], ["new", "replaced", true]);
    }
  });

  test("the number of workers does not show", async () => {
    const many = Array.from({ length: 3000 }, (_, n) => nthFlow(WEB, n));
    const [alone, four] = await Promise.all(
      [1, 4].map(async (workers) => {
        const engine = engineWith(256 * RATE, workers);
        const results = await send(engine, many, 0);
        return results.map(({ reason, backend }) => ({ reason, backend }));
      }),
    );
    assert.deepEqual(four, alone);
    const entered = alone!.filter(({ reason }) => reason === "new").length;
    assert.ok(entered > 2000 && entered <= 256 * RATE, `${entered} of 3000`);
  });
});
