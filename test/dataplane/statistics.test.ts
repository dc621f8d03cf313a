// What readers make of the workers' counters.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as L from "../../assembly/layout.ts";
import { anyConfig, Rig } from "../engine/rig.ts";
import { packet } from "../packets/packet.ts";

const WORKERS = 3;

function rigOf(): Rig {
  return new Rig(anyConfig(), { workers: WORKERS });
}

/** Writes a counter of a worker. */
function setCounter(rig: Rig, worker: number, counter: number, value: bigint): void {
  const { plan, u64 } = rig.engine.arena;
  u64[(plan.regions.counters.offset + worker * plan.countersBytes + counter) / 8] = BigInt.asUintN(64, value);
}

suite("statistics", () => {
  test("an engine that has done nothing has counted nothing", () => {
    const { statistics } = rigOf();
    assert.deepEqual(statistics.reasons(), {});
    assert.deepEqual(statistics.vip(0), { packets: 0, bytes: 0 });
    assert.deepEqual(statistics.backend(1), { packets: 0, bytes: 0, newFlows: 0, activeFlows: 0 });
    assert.deepEqual(
      statistics.workers().map(({ worker, packets, parked }) => [worker, packets, parked]),
      [
        [0, 0, true],
        [1, 0, true],
        [2, 0, true],
      ],
    );
  });

  test("sums are over all workers, and a worker may count below zero", () => {
    const rig = rigOf();
    const at = L.COUNTER_BACKENDS + 2 * L.COUNTER_BACKEND_BYTES;
    for (const [worker, active] of [5n, -3n, -1n].entries()) {
      setCounter(rig, worker, at, BigInt(worker + 1));
      setCounter(rig, worker, at + 8, 2n ** 40n);
      setCounter(rig, worker, at + 24, active);
    }
    assert.deepEqual(rig.statistics.backend(2), {
      packets: 6,
      bytes: 3 * 2 ** 40,
      newFlows: 0,
      activeFlows: 1,
    });
  });

  test("bytes are those of IP packets, padding and link headers apart", () => {
    const rig = rigOf();
    const ip = packet().ethernet().vlan(5).ipv4({ src: "192.0.2.1", dst: "10.99.0.1" });
    const bytes = ip.tcp().payload(3).pad(200).bytes();
    const worker = rig.owner(bytes);
    rig.deliver(worker, bytes);
    rig.deliver(worker, bytes);
    rig.runAll();
    const { backend } = rig.records()[0]!;
    assert.deepEqual(rig.statistics.vip(0), { packets: 2, bytes: 2 * 43 });
    assert.deepEqual(rig.statistics.backend(backend), {
      packets: 2,
      bytes: 2 * 43,
      newFlows: 1,
      activeFlows: 1,
    });
    const counted = rig.statistics.workers()[worker]!;
    assert.deepEqual(
      [counted.packets, counted.bytes, counted.batches],
      [2, 400, 1],
      "a worker counts whole frames",
    );
    assert.deepEqual(rig.statistics.reasons(), { new: 1, hit: 1 });
  });

  test("what became of packets is counted for their VIP, hits apart", () => {
    const rig = rigOf();
    const to = (dst: string) => packet().ethernet().ipv4({ src: "192.0.2.1", dst });
    const packets = [
      to("10.99.0.1").tcp({ dport: 80 }),
      to("10.99.0.1").tcp({ dport: 80 }),
      to("10.99.0.1").icmp(),
      to("10.99.0.3").icmp(),
      to("10.99.0.3").tcp({ dport: 81 }),
      packet().ethernet().ipv4({ src: "10.99.0.3", dst: "10.99.0.1" }).tcp({ dport: 80 }),
    ].map((each) => each.bytes());
    for (const bytes of packets) rig.deliver(rig.owner(bytes), bytes);
    rig.runAll();
    const { vips, vipNumbers } = rig.engine.directory;
    const counted = vips.map((_, index) => rig.statistics.vipReasons(vipNumbers[index]!));
    assert.deepEqual(counted[0], { new: 1, echo: 1, "spoofed-source": 1 });
    assert.deepEqual(counted[vips.findIndex(({ name }) => name === "silent")], { "icmp-unsupported": 1 });
    assert.deepEqual(rig.statistics.vip(vipNumbers[0]!).packets, 2);
    assert.deepEqual(rig.statistics.reasons(), {
      hit: 1,
      new: 1,
      echo: 1,
      "not-vip": 1,
      "icmp-unsupported": 1,
      "spoofed-source": 1,
    });
    rig.statistics.rebaseVip(vipNumbers[0]!);
    assert.deepEqual(rig.statistics.vipReasons(vipNumbers[0]!), {});
  });

  test("a heartbeat for every round, also without packets", () => {
    const rig = rigOf();
    for (let n = 0; n < 5; n++) rig.run(1);
    assert.deepEqual(
      rig.statistics.workers().map(({ heartbeat }) => heartbeat),
      [0, 5, 0],
    );
    assert.deepEqual(
      rig.statistics.workers().map(({ parked }) => parked),
      [true, false, true],
    );
    rig.instance(1).park();
    assert.deepEqual(rig.statistics.workers().map(({ parks, parked }) => [parks, parked])[1], [1, true]);
  });
});
