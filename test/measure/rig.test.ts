// The workers of a measurement: every packet comes to the worker that owns it, leaves, and none is lost when settings change.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { parseConfig } from "../../src/config/load.ts";
import { flowTraffic, shuffled } from "../../src/measure/flows.ts";
import { Rig } from "../../src/measure/rig.ts";

const FLOWS = 5000;
const { config } = parseConfig(
  JSON.stringify({
    conntrack: { flows: FLOWS },
    pools: { web: { tableSize: 251, backends: [{ address: "10.0.0.21" }, { address: "10.0.0.22" }] } },
    vips: [
      { name: "v4", address: "10.99.0.1", port: 80, pool: "web" },
      { name: "v6", address: "fd99::1", port: 53, protocol: "udp", pool: "web" },
    ],
  }),
  "rig.test.ts",
);
const services = [
  { address: "10.99.0.1", protocol: "tcp", port: 80 },
  { address: "fd99::1", protocol: "udp", port: 53 },
] as const;

suite("rig", () => {
  let rig: Rig;
  before(async () => {
    rig = new Rig(config, 3, flowTraffic({ services, flows: FLOWS, packetBytes: 64 }));
    await rig.enter();
  });
  after(() => rig.close());

  test("every flow is entered once, and the workers have all of them", () => {
    const { reasons, workers } = {
      reasons: rig.engine.statistics.reasons(),
      workers: rig.engine.statistics.workers(),
    };
    assert.equal(reasons.new, FLOWS);
    assert.equal(
      workers.reduce((sum, { entries }) => sum + entries, 0),
      FLOWS,
    );
    assert.deepEqual(Object.keys(reasons).sort(), ["hit", "new"]);
  });

  test("with any number of workers all packets are hits, at their owners, and leave", async () => {
    for (const workers of [1, 3, 2, 1]) {
      const hits = rig.engine.statistics.reasons().hit!;
      const turn = await rig.turn({ workers, batch: 16 }, { rounds: 3, warmRounds: 1 });
      assert.equal(turn.nsPerPacket.length, workers);
      assert.ok(
        turn.packets >= 2048 * workers && turn.packets <= 4 * 2048 * workers,
        `${turn.packets} packets`,
      );
      assert.equal(turn.sent, turn.packets);
      assert.equal(rig.engine.statistics.reasons().hit! - hits, turn.packets);
      assert.ok(turn.mpps > 0);
    }
    assert.equal(rig.engine.statistics.reasons().new, FLOWS);
    const handed = rig.engine.statistics.workers().reduce((sum, each) => sum + each.handed, 0);
    assert.equal(handed, 0, "handed to their owners");
  });

  test("batches are as large as the setting says", async () => {
    for (const batch of [8, 64]) {
      const { packets, batches } = rig.engine.statistics.workers()[0]!;
      await rig.turn({ workers: 1, batch }, { rounds: 2, warmRounds: 0 });
      const after = rig.engine.statistics.workers()[0]!;
      assert.equal((after.packets - packets) / (after.batches - batches), batch);
    }
  });
});

test("a thread that fails ends the turn, and all others with it", async () => {
  const rig = new Rig(config, 2, flowTraffic({ services, flows: 10, packetBytes: 64 }));
  await assert.rejects(rig.turn({ workers: 2, cpus: [4095] }, { rounds: 1, warmRounds: 0 }));
  await rig.close();
});

test("an order that is shuffled has every number once", () => {
  const numbers = Array.from({ length: 1000 }, (_, i) => 3 * i);
  const order = shuffled(numbers);
  assert.notDeepEqual([...order], numbers);
  assert.deepEqual(
    [...order].sort((a, b) => a - b),
    numbers,
  );
});
