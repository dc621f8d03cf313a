// Where every frame is, after anything: each in exactly one place, whatever became of its packet.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import * as L from "../../assembly/layout.ts";
import { macBytes } from "../../src/mac.ts";
import { random } from "../dataplane/random.ts";
import { type Config, offlineMac, offlineSetup } from "../model/setup.ts";
import { hostilePacket } from "../packets/hostile.ts";
import { packet } from "../packets/packet.ts";
import { runs } from "../runs.ts";
import { anyConfig, Rig } from "./rig.ts";

const FLOWS = 5000;

const packets = fc
  .sample(hostilePacket(offlineSetup(anyConfig() as Config)), { seed: runs.seed, numRuns: 2000 })
  .filter((bytes) => bytes.length <= 2048 - L.HEADROOM);

const syn = (n: number, to = "10.99.0.1") =>
  packet()
    .ethernet()
    .ipv4({ src: `192.0.2.${n & 255}`, dst: to })
    .tcp({ sport: 1024 + (n >> 8), dport: 80 })
    .bytes();

const ping = () => packet().ethernet().ipv4({ src: "192.0.2.1", dst: "10.99.0.1" }).icmp().bytes();

/** Every frame is in one place that can be seen, or in the test's own hands. */
function checkEvery(rig: Rig, held: Iterable<number> = []): void {
  const { missing, duplicated, invalid, places, total } = rig.audit();
  const expected = [...held].sort((a, b) => a - b);
  assert.deepEqual({ missing, duplicated, invalid }, { missing: expected, duplicated: [], invalid: [] });
  assert.equal(Object.values(places).reduce((a, b) => a + b, 0) + expected.length, total);
}

/** Lets all packets and all frames come home, those of fragments that wait as well. */
function drain(rig: Rig): void {
  for (let i = 0; i < 3; i++) {
    rig.clockMs += L.FRAGMENT_HELD_MS;
    rig.runAll();
    rig.collect();
    rig.settle();
  }
}

interface Shape {
  workers: number;
  interfaces: number;
  count: number;
  batch: number;
  /** Whether backends' next hops are on all interfaces, and some nowhere. */
  scattered: boolean;
}

function rigOf({ workers, interfaces, count, batch, scattered }: Shape): Rig {
  const rig = new Rig(anyConfig({ frames: { count }, workers: { batch } }), { workers, interfaces });
  for (const { id, config } of rig.engine.directory.backends.filter(Boolean)) {
    const mac = macBytes(offlineMac(config.address));
    if (scattered)
      rig.engine.directory.setNextHop(id, id % 4 === 0 ? undefined : { mac, interface: id % interfaces });
  }
  return rig;
}

suite("frames", () => {
  for (const shape of [
    { workers: 1, interfaces: 1, count: 64, batch: 64, scattered: false },
    { workers: 2, interfaces: 1, count: 64, batch: 7, scattered: true },
    { workers: 3, interfaces: 2, count: 64, batch: 1, scattered: true },
    { workers: 4, interfaces: 3, count: 257, batch: 64, scattered: true },
  ]) {
    test(`any sequence of steps: ${JSON.stringify(shape)}`, () => {
      const rig = rigOf(shape);
      const next = random(shape.workers);
      const below = (n: number) => Math.floor(next() * n);
      /** Frames in the test's hands, by queue. */
      const held: number[][] = rig.queues.map(() => []);
      let delivered = 0;
      for (let step = 0; step < runs.frames.steps; step++) {
        const worker = below(shape.workers);
        const queue = below(shape.interfaces);
        switch (below(5)) {
          case 0: {
            for (let n = below(20); n > 0; n--) {
              const frame = rig.queues[queue]!.takeFrame();
              if (frame !== undefined) held[queue]!.push(frame);
            }
            break;
          }
          case 1: {
            for (let n = below(20); n > 0 && held[queue]!.length > 0; n--) {
              const frame = held[queue]!.shift()!;
              const bytes = packets[below(packets.length)]!;
              rig.engine.arena.u8.set(bytes, rig.queues[queue]!.address(frame));
              rig.queues[queue]!.deliver(worker, frame, bytes.length);
              delivered++;
            }
            break;
          }
          case 2:
            rig.run(worker, 1 + below(3));
            break;
          case 3:
            rig.collect(worker);
            break;
          case 4:
            rig.instance(worker).settle();
        }
        rig.records();
        checkEvery(rig, held.flat());
      }
      drain(rig);
      checkEvery(rig, held.flat());
      assert.equal(rig.audit().places.fill, shape.count - held.flat().length, "all others are offered again");
      const counted = Object.values(rig.statistics.reasons()).reduce((a, b) => a + b, 0);
      assert.equal(counted, delivered, "and every packet had one reason");
      assert.ok(delivered > runs.frames.steps / 4, `${delivered} packets`);
    });
  }

  test("a full TX ring: tx-full, and nothing is lost", () => {
    const rig = new Rig(anyConfig());
    const room = rig.engine.arena.plan.packetRingEntries;
    for (let n = 0; n < room; n++) rig.deliver(0, syn(n));
    rig.run(0);
    assert.deepEqual(rig.statistics.reasons(), { new: room });
    for (let n = 0; n < 300; n++) rig.deliver(0, n % 3 === 0 ? ping() : syn(n));
    rig.run(0);
    assert.deepEqual(rig.statistics.reasons(), { new: room, "tx-full": 300 });
    assert.equal(rig.audit().places.tx, room);
    checkEvery(rig);
    const forwarded =
      rig.statistics.backend(1).packets +
      rig.statistics.backend(2).packets +
      rig.statistics.backend(3).packets +
      rig.statistics.backend(4).packets;
    assert.equal(forwarded, room, "what did not leave is not counted as forwarded");

    assert.equal(rig.collect().length, room);
    for (let n = 0; n < 300; n++) rig.deliver(0, n % 3 === 0 ? ping() : syn(n));
    rig.run(0);
    assert.deepEqual(rig.statistics.reasons(), { new: room, hit: 200, echo: 100, "tx-full": 300 });
    assert.equal(rig.collect().length, 300);
    drain(rig);
    checkEvery(rig);
    assert.equal(rig.audit().places.fill, rig.audit().total);
  });

  test("half a ring of room is filled, and only the rest is refused", () => {
    const rig = new Rig(anyConfig());
    const room = rig.engine.arena.plan.packetRingEntries;
    for (let n = 0; n < room - 10; n++) rig.deliver(0, syn(n));
    rig.run(0);
    for (let n = 0; n < 64; n++) rig.deliver(0, syn(n));
    rig.run(0);
    assert.deepEqual(rig.statistics.reasons(), { new: room - 10, hit: 10, "tx-full": 54 });
    checkEvery(rig);
  });

  test("what came by one interface and left by another is offered where fewest frames are", () => {
    const rig = new Rig(anyConfig({ frames: { count: 64 } }), { interfaces: 2 });
    for (const { id, config } of rig.engine.directory.backends.filter(Boolean)) {
      rig.engine.directory.setNextHop(id, { mac: macBytes(offlineMac(config.address)), interface: 1 });
    }
    for (let n = 0; n < FLOWS; n++) {
      // Without balance, queue 0 would be dry after 32 packets.
      assert.ok(rig.deliver(0, syn(n), 0) !== undefined, `a frame for packet ${n}`);
      rig.run(0);
      const sent = rig.collect();
      assert.deepEqual(
        sent.map((each) => each.interface),
        [1],
      );
      rig.records();
    }
    drain(rig);
    checkEvery(rig);
    const levels = rig.engine.wiring.queues.map(({ fill }) => {
      return rig.engine.arena.word(fill.producer) - rig.engine.arena.word(fill.consumer);
    });
    assert.ok(
      levels.every((level) => level >= 16),
      levels.join(),
    );
  });

  for (const workers of [1, 2, 3]) {
    test(`${workers} threads, few frames, many packets: none is ever lost`, async () => {
      const rig = rigOf({ workers, interfaces: 2, count: 64, batch: 16, scattered: true });
      rig.engine.arena.f64[L.HEADER_CLOCK / 8] = 16;
      const pool = rig.start({ spinUs: 0 });
      const next = random(workers);
      let reports: { drained: boolean; traps: number }[] = [];
      let delivered = 0;
      try {
        let progressAt = performance.now();
        while (delivered < runs.frames.packets) {
          for (let n = 0; n < 64; n++) {
            const bytes = packets[Math.floor(next() * packets.length)]!;
            const worker = Math.floor(next() * workers);
            if (rig.deliver(worker, bytes, delivered % 2) === undefined) break;
            delivered++;
            progressAt = performance.now();
          }
          rig.collect();
          rig.records();
          // Frames that are at a sleeping worker are at nobody's disposal until it wakes up.
          assert.ok(performance.now() - progressAt < 5000, `a frame after ${delivered} packets`);
          await new Promise(setImmediate);
        }
      } finally {
        const collecting = setInterval(() => rig.collect(), 1);
        reports = await pool.stop();
        clearInterval(collecting);
      }
      assert.deepEqual(
        reports.map(({ drained, traps }) => ({ drained, traps })),
        Array(workers).fill({ drained: true, traps: 0 }),
      );
      checkEvery(rig);
      const { places } = rig.audit();
      const counted = Object.values(rig.statistics.reasons()).reduce((a, b) => a + b, 0);
      assert.equal(counted + places.held, delivered);
      assert.ok(places.held <= rig.engine.arena.plan.heldLimit);
      assert.equal(places.inHand + places.handoff + places.rx, 0);
    });
  }
});
