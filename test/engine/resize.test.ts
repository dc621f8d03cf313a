// Workers that come and go while packets flow.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import * as L from "../../assembly/layout.ts";
import { dealt } from "../../src/dataplane/owners.ts";
import { packet } from "../packets/packet.ts";
import { runs } from "../runs.ts";
import { activeFlows, countedEntries, entries } from "./entries.ts";
import { anyConfig, Rig } from "./rig.ts";

const CAPACITY = 4;
const FLOWS = 600;

const segment = (n: number, flags: string) =>
  packet()
    .ethernet()
    .ipv4({ src: `192.0.2.${n & 255}`, dst: "10.99.0.1" })
    .tcp({ sport: 1024 + (n >> 8), dport: 80, flags })
    .bytes();

const counts = (map: Uint8Array, workers: number) =>
  Array.from({ length: workers }, (_, worker) => map.filter((owner) => owner === worker).length);

test("shards are dealt evenly, and as few as possible move", () => {
  const workers = fc.integer({ min: 1, max: L.MAX_WORKERS });
  fc.assert(
    fc.property(fc.array(workers, { minLength: 1, maxLength: 8 }), (steps) => {
      let map = dealt(steps[0]!);
      for (const [i, next] of steps.entries()) {
        const before = map;
        map = dealt(next, before);
        const shares = counts(map, next);
        assert.equal(
          shares.reduce((a, b) => a + b),
          L.SHARDS,
        );
        assert.ok(Math.max(...shares) - Math.min(...shares) <= 1, shares.join());
        const moved = map.filter((owner, shard) => owner !== before[shard]).length;
        const now = i === 0 ? next : steps[i - 1]!;
        // Those of workers that leave, or what newcomers get; and the odd ones out.
        const must = next >= now ? (L.SHARDS / next) * (next - now) : (L.SHARDS / now) * (now - next);
        assert.ok(moved <= Math.ceil(must) + Math.max(now, next), `${now} > ${next}: ${moved} move`);
      }
    }),
    { numRuns: 200, seed: runs.seed },
  );
});

/** Two passes of a worker's loop: other shards are its own in the second, for which it reads the clock anew. */
const passes = (rig: Rig, worker: number) => rig.run(worker) + rig.run(worker);

/** Shows another deal, and waits for nobody. */
const show = ({ engine }: Rig, workers: number) => void engine.owners.deal(workers).catch(() => {});

suite("owners of shards", () => {
  test("nobody takes packets while somebody may still act by the old deal", () => {
    const rig = new Rig(anyConfig(), { workers: 2, running: 1 });
    for (let n = 0; n < 20; n++) rig.deliver(0, segment(n, "S"));
    assert.equal(rig.run(0), 20);
    rig.run(1);
    show(rig, 2);
    for (let n = 0; n < 20; n++) rig.deliver(rig.owner(segment(n, "A")), segment(n, "A"));
    assert.equal(passes(rig, 1), 0, "worker 0 may be in a batch");
    assert.ok(passes(rig, 0) > 0, "both have shown the new deal now");
    assert.ok(passes(rig, 1) > 0);
    assert.deepEqual(rig.statistics.reasons(), { new: 20, hit: 20 });
  });

  test("one that sleeps is not waited for, and goes by the new deal when it wakes up", () => {
    const rig = new Rig(anyConfig(), { workers: 2 });
    rig.runAll();
    rig.instance(0).park();
    show(rig, 1);
    assert.equal(passes(rig, 1), 0);
    for (let n = 0; n < 20; n++) rig.deliver(1, segment(n, "S"));
    assert.equal(rig.run(1), 20);
    assert.equal(passes(rig, 0), 20, "all of it is worker 0's");
    assert.deepEqual(rig.statistics.reasons(), { new: 20 });
    assert.equal(rig.statistics.workers()[1]!.handed, 20);
  });

  test("fragments that wait are the new owner's", () => {
    const rig = new Rig(anyConfig(), { workers: 2, running: 1 });
    const fragment = (n: number) =>
      packet()
        .ethernet()
        .ipv4({ src: `192.0.2.${n}`, dst: "10.99.0.1", fragmentOffset: 3, id: 7, protocol: 17, df: false })
        .payload(16)
        .bytes();
    for (let n = 0; n < 20; n++) rig.deliver(0, fragment(n));
    rig.run(0);
    rig.run(1);
    assert.equal(rig.audit().places.held, 20);
    show(rig, 2);
    rig.runAll();
    rig.clockMs += L.FRAGMENT_HELD_MS;
    const before = rig.counter(1, L.COUNTER_REASONS);
    rig.runAll();
    assert.equal(rig.audit().places.held, 0);
    assert.deepEqual(rig.statistics.reasons(), { "fragment-timeout": 20 });
    assert.equal(rig.counter(1, L.COUNTER_REASONS), before);
  });
});

suite("workers come and go", () => {
  test("a new owner's clock is not behind what is known of its shards", async () => {
    const rig = new Rig(anyConfig(), { workers: 2, running: 1 });
    const { owners, directory } = rig.engine;
    // In this step of the clock ages go on by one.
    const nowMs = rig.engine.arena.word(L.HEADER_TIMEOUTS + 4 * L.FLOW_NEW) * 60;
    rig.clockMs = nowMs - 16;
    rig.run(0);
    rig.run(1);
    rig.clockMs = nowMs;
    for (let n = 0; n < FLOWS; n++) rig.deliver(0, segment(n, "S"));
    rig.run(0);
    assert.deepEqual(rig.statistics.reasons(), { new: FLOWS });
    rig.collect();
    // Were their entries not found, flows would move.
    for (const name of ["b1", "b2"])
      directory.update([{ id: directory.backend("near", name).id, state: "draining" }]);
    const dealt = owners.deal(2);
    rig.run(0);
    for (let n = 0; n < FLOWS; n++) if (rig.owner(segment(n, "A")) === 1) rig.deliver(1, segment(n, "A"));
    // A worker may have read the clock some time ago when it comes to the next batch.
    rig.clockMs = nowMs - 16;
    rig.run(1);
    await dealt;
    rig.clockMs = nowMs;
    rig.run(1);
    const { hit = 0, ...others } = rig.statistics.reasons();
    assert.deepEqual(others, { new: FLOWS });
    assert.ok(hit > FLOWS / 3, `${hit}`);
  });

  test("no packet is lost, no flow moves, no frame either", async (t) => {
    const { resizes } = runs.resize;
    const rig = new Rig(anyConfig(), { workers: CAPACITY, running: 1, reserve: 8 });
    const pool = rig.start({ spinUs: 50 });
    const homes = new Map<string, string>();
    let received = 0;
    const receive = () => {
      for (const { bytes } of rig.collect()) {
        const hex = Buffer.from(bytes).toString("hex");
        const flow = hex.slice(52, 60) + hex.slice(68, 72);
        const backend = hex.slice(0, 12);
        assert.equal(homes.get(flow) ?? backend, backend, `flow ${flow} moved`);
        homes.set(flow, backend);
        received++;
      }
    };
    let sent = 0;
    /** To the owner as of now, who may be another when the packet is taken. */
    const send = (count: number) => {
      for (let i = 0; i < count; i++, sent++) {
        const bytes = segment(sent % FLOWS, sent < FLOWS ? "S" : "A");
        if (rig.deliver(rig.owner(bytes), bytes) === undefined) return;
      }
    };
    const settle = async () => {
      for (const from = performance.now(); received < sent; ) {
        assert.ok(performance.now() - from < 10_000, `${received} of ${sent} packets`);
        await new Promise(setImmediate);
        receive();
      }
    };
    try {
      send(FLOWS);
      await settle();
      const next = fc.sample(fc.integer({ min: 1, max: CAPACITY }), { numRuns: resizes, seed: runs.seed });
      for (const workers of next) {
        let done = false;
        const resized = pool
          .resize(workers, () => {})
          .finally(() => {
            done = true;
          });
        while (!done) {
          send(50);
          await new Promise(setImmediate);
          receive();
        }
        await resized;
        assert.equal(rig.engine.owners.running, workers);
        assert.equal(counts(rig.engine.owners.map, workers).length, workers);
      }
      await settle();
      assert.deepEqual(rig.statistics.reasons(), { new: FLOWS, hit: sent - FLOWS });
      assert.equal(received, sent);
      assert.equal(homes.size, FLOWS);
      assert.ok(rig.statistics.workers().some(({ handed }) => handed > 0));
      t.diagnostic(`${resizes} changes under ${sent} packets`);
    } finally {
      for (const { drained, traps } of await pool.stop())
        assert.deepEqual({ drained, traps }, { drained: true, traps: 0 });
    }
    const { missing, duplicated, invalid } = rig.audit();
    assert.deepEqual({ missing, duplicated, invalid }, { missing: [], duplicated: [], invalid: [] });
    const { counted, found } = activeFlows(rig.engine);
    assert.deepEqual(counted, found);
    assert.equal(countedEntries(rig.engine.arena), entries(rig.engine.arena).length);
  });
});
