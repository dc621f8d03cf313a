// Each way in which a forwarder can fail is found in time and named, and so is its recovery.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as L from "../../../assembly/layout.ts";
import type { LinkStatus } from "../../../src/control/forwarder/links.ts";
import { macBytes } from "../../../src/mac.ts";
import { anyConfig, Rig } from "../../engine/rig.ts";
import { offlineMac } from "../../model/setup.ts";
import { Bed } from "./bed.ts";

const newBed = (workers = 1, options = {}) =>
  new Bed(new Rig(anyConfig(), { workers, selfTest: true }), options);

function checkFrames({ rig }: Bed): void {
  const { missing, duplicated, invalid } = rig.audit();
  assert.deepEqual({ missing, duplicated, invalid }, { missing: [], duplicated: [], invalid: [] });
}

/** Address of the table that workers use. */
function tableOf({ rig }: Bed, pool: string): number {
  return rig.engine.arena.word(rig.engine.directory.poolRecord(pool) + L.POOL_TABLE);
}

suite("a forwarder that works", () => {
  test("is unhealthy until every worker has answered `rise` times", () => {
    const bed = newBed(3);
    const at = bed.rounds(1);
    assert.equal(at.healthy, false);
    assert.deepEqual(
      at.reasons,
      [0, 1, 2].map((worker) => `worker ${worker}: not tested yet`),
    );
    assert.equal(bed.rounds(1).healthy, false);
    const status = bed.rounds(1);
    assert.deepEqual([status.healthy, status.reasons, bed.changes], [true, [], [true]]);
    assert.deepEqual(
      status.workers.map(({ healthy, probes, failures }) => [healthy, probes, failures]),
      [0, 1, 2].map(() => [true, 3, 0]),
    );
  });

  test("every VIP and every backend is met in turn, and nothing counts it", () => {
    const bed = newBed(2);
    bed.rounds(300);
    const records = bed.rig.records();
    assert.equal(records.length, 600);
    assert.deepEqual(new Set(records.map(({ reason }) => reason)), new Set(["probe"]));
    const { vips } = bed.rig.engine.directory;
    assert.deepEqual(new Set(records.map(({ vip }) => vip)), new Set(vips.keys()));
    assert.equal(new Set(records.map(({ backend }) => backend)).size, 12, "all backends of all pools");
    for (const { id } of bed.rig.engine.directory.backends.filter(Boolean)) {
      assert.equal(bed.rig.statistics.backend(id).packets, 0);
    }
    assert.deepEqual(bed.changes, [true]);
    checkFrames(bed);
  });

  test("two beds ask for the same packets in the same order", () => {
    const [first, second] = [newBed(2), newBed(2)].map((bed) => {
      bed.rounds(20);
      return bed.rig.records().map(({ key, backend }) => ({ key, backend }));
    });
    assert.deepEqual(first, second);
  });

  test("all of the tables is verified within a second", () => {
    const bed = newBed();
    const before = bed.rounds(1).tables.rounds;
    assert.ok(bed.rounds(4).tables.rounds >= before + 4);
  });

  test("without a usable backend, the loop is tested by a frame that is for nobody", () => {
    const bed = newBed();
    for (const { id } of bed.rig.engine.directory.backends.filter(Boolean)) {
      bed.rig.engine.directory.setBackendState(id, "dead");
    }
    assert.equal(bed.rounds(5).healthy, true);
    assert.deepEqual(new Set(bed.rig.records().map(({ vip }) => vip)), new Set([undefined]));
    bed.still.add(0);
    assert.ok(bed.until(false, 4) <= 3);
  });

  test("changes while a packet is under way are no failure", () => {
    const bed = newBed();
    const { directory } = bed.rig.engine;
    bed.rounds(3);
    let turn = 0;
    bed.instead = (worker) => {
      turn++;
      for (const { id, pool } of directory.backends.filter(Boolean)) {
        if (turn % 3 === 0)
          directory.setNextHop(id, { mac: macBytes(`02:00:00:00:00:${10 + turn}`), interface: 0 });
        if (turn % 3 === 1) directory.setNextHop(id, undefined);
        if (turn % 3 === 2 && pool === "near")
          directory.setBackendState(id, id % 2 === turn % 2 ? "active" : "draining");
      }
      bed.rig.run(worker);
    };
    const { workers } = bed.rounds(60);
    assert.deepEqual([bed.changes, workers[0]!.failures], [[true], 0]);
  });
});

suite("a worker that is stuck", () => {
  test("is named after `fall` rounds without an answer, and is well again `rise` rounds after it goes on", () => {
    const bed = newBed(2);
    bed.rounds(3);
    bed.still.add(1);
    assert.ok(bed.until(false, 4) <= 3, "interval, timeout, and one more failure");
    const { reasons, workers } = bed.rounds(3);
    assert.equal(reasons.length, 1);
    assert.match(
      reasons[0]!,
      /^worker 1: no answer for \d+ ms: the packet was not taken; its loop has stood still/,
    );
    assert.deepEqual([workers[0]!.healthy, workers[1]!.healthy], [true, false]);
    const { probes } = workers[1]!;
    assert.equal(bed.rounds(5).workers[1]!.probes, probes, "no second packet while one is under way");
    bed.still.clear();
    bed.rig.run(1);
    assert.ok(bed.until(true, 5) <= 4);
    assert.deepEqual(bed.changes, [true, false, true]);
    checkFrames(bed);
  });

  test("one that answers but does not take what another hands over is stuck, too", () => {
    const bed = newBed(2);
    bed.rounds(3);
    const { ring } = bed.rig.engine.wiring.handoffs.find(({ to }) => to === 1)!;
    const { arena } = bed.rig.engine;
    arena.setWord(ring.producer, arena.word(ring.producer) + 1);
    // A packet that only this test sees: to the worker the ring is empty.
    const run = bed.rig.run.bind(bed.rig);
    bed.rig.run = (worker, passes) => {
      if (worker !== 1) return run(worker, passes);
      const held = arena.word(ring.producer);
      arena.setWord(ring.producer, arena.word(ring.consumer));
      const taken = run(worker, passes);
      arena.setWord(ring.producer, held);
      return taken;
    };
    bed.until(false, 5);
    assert.match(
      bed.health.status().reasons[0]!,
      /worker 1: 1 packets have waited in the ring by which worker 0/,
    );
  });

  test("a packet that vanishes is a failure, and the next one is sent", () => {
    const bed = newBed();
    const { arena, wiring } = bed.rig.engine;
    const { rx } = wiring.ports.at(-1)!;
    bed.rounds(3);
    // Like a trap: the packet is taken, and its frame goes to the free list.
    bed.instead = () => {
      const taken = arena.word(rx.consumer);
      if (taken === arena.word(rx.producer)) return;
      const address = arena.u32[(rx.descriptors + (taken & rx.mask) * L.PACKET_DESCRIPTOR_BYTES) / 4]!;
      const count = arena.workerBlock(0) + L.WORKER_FREE_COUNT;
      const list = arena.plan.regions.freeLists.offset / 4;
      arena.u32[list + arena.word(count)] = address & ~(arena.plan.frameBytes - 1);
      arena.setWord(count, arena.word(count) + 1);
      arena.setWord(rx.consumer, taken + 1);
    };
    bed.until(false, 12);
    const { probes } = bed.health.status().workers[0]!;
    bed.instead = undefined;
    assert.ok(bed.until(true, 8) <= 6);
    assert.ok(bed.health.status().workers[0]!.probes > probes);
    checkFrames(bed);
  });
});

suite("a worker that forwards wrongly", () => {
  const breaking = (name: string, pattern: RegExp, breakIt: (rig: Rig) => () => void) =>
    test(name, () => {
      const bed = newBed();
      bed.rounds(3);
      // Broken only while the worker works: so nobody but the packet itself can tell.
      bed.instead = (worker) => {
        const mend = breakIt(bed.rig);
        bed.rig.run(worker);
        mend();
      };
      // A packet of another flow may be right by chance.
      bed.until(false, 20);
      assert.match(bed.health.status().reasons.join(), pattern);
      bed.instead = undefined;
      bed.until(true, 5);
    });

  breaking(
    "to another MAC address",
    /should come back for backend b\d, and differs at byte [0-5] /,
    ({ engine }) => {
      const { arena, directory } = engine;
      const cells = directory.backends.filter(Boolean).map(({ id }) => directory.backendRecord(id) / 8);
      const before = cells.map((at) => arena.u64[at]!);
      for (const at of cells) arena.u64[at]! ^= 0xffn << 40n;
      return () => {
        for (const [i, at] of cells.entries()) arena.u64[at] = before[i]!;
      };
    },
  );

  breaking("with another outer TTL", /(tunnel|ipip|gue)6? .* differs at byte/, ({ engine }) => {
    const { arena, directory } = engine;
    const block = arena.word(L.HEADER_SERVICES);
    const vips = block + arena.word(block + L.SERVICES_VIPS);
    const setTtls = (ttls: number[]) => {
      for (const [i, ttl] of ttls.entries()) arena.u8[vips + i * L.VIP_BYTES + L.VIP_TTL] = ttl;
    };
    setTtls(directory.vips.map(() => 1));
    return () => setTtls(directory.vips.map(({ tunnel }) => tunnel.ttl));
  });

  breaking("by another seed", /should come back for backend/, ({ engine }) => {
    const block = engine.directory.poolRecord("near") + L.POOL_TABLE;
    const other = engine.directory.poolRecord("far") + L.POOL_TABLE;
    const before = engine.arena.word(block);
    engine.arena.setWord(block, engine.arena.word(other));
    return () => engine.arena.setWord(block, before);
  });

  breaking("not at all", /came back unchanged, expected for backend/, ({ engine }) => {
    const before = engine.arena.word(L.HEADER_SERVICES);
    engine.arena.setWord(L.HEADER_SERVICES, 0);
    return () => engine.arena.setWord(L.HEADER_SERVICES, before);
  });
});

suite("damage in the arena", () => {
  const damaging = (name: string, pattern: RegExp, damage: (bed: Bed) => void) =>
    test(name, () => {
      const bed = newBed(2);
      bed.rounds(3);
      const heard: string[][] = [];
      bed.health.onChange(({ reasons }) => {
        heard.push(reasons);
        if (heard.length === 1)
          assert.equal(bed.health.status().tables.repaired, 0, "reported before it is repaired");
      });
      damage(bed);
      bed.until(false, 4);
      assert.match(heard[0]!.join(), pattern);
      bed.until(true, 4);
      const { corrupted, repaired } = bed.health.status().tables;
      assert.deepEqual([corrupted, repaired], [1, 1]);
      const { slots } = bed.rig.engine.directory.table("near");
      const at = tableOf(bed, "near");
      assert.deepEqual(
        bed.rig.engine.arena.u16.slice((at + L.TABLE_SLOTS) / 2, (at + L.TABLE_SLOTS) / 2 + slots.length),
        slots,
      );
      for (let n = 0; n < 20; n++) bed.rounds(1);
      assert.deepEqual(bed.changes, [true, false, true]);
      assert.equal(bed.rig.engine.publication.reclaim(), 0, "nothing is left behind in the heap");
    });

  damaging("a slot of a table", /^the table of pool near: slot 100: a byte is \d+, expected \d+$/, (bed) => {
    bed.rig.engine.arena.u16[(tableOf(bed, "near") + L.TABLE_SLOTS) / 2 + 100]! ^= 7;
  });
  damaging("the last slot of a table", /^the table of pool far: slot 250/, (bed) => {
    bed.rig.engine.arena.u16[(tableOf(bed, "far") + L.TABLE_SLOTS) / 2 + 250]! ^= 0x8000;
  });
  damaging("a table's size", /^the table of pool near: its size/, (bed) => {
    bed.rig.engine.arena.setWord(tableOf(bed, "near") + L.TABLE_SIZE, 1);
  });
  damaging("the address of a table", /^the table of pool near: its address is/, (bed) => {
    const { arena, directory } = bed.rig.engine;
    arena.setWord(directory.poolRecord("near") + L.POOL_TABLE, tableOf(bed, "far"));
  });
  damaging("the address of a table, which is none", /^the table of pool near: its address is 64,/, (bed) => {
    bed.rig.engine.arena.setWord(bed.rig.engine.directory.poolRecord("near") + L.POOL_TABLE, L.LINE);
  });
  damaging("a service", /^the services: byte \d+/, (bed) => {
    const { arena } = bed.rig.engine;
    const block = arena.word(L.HEADER_SERVICES);
    const slots = arena.word(block + L.SERVICES_MASK) + 1;
    for (let i = 0; i < slots; i++) {
      const at = block + L.SERVICES_SLOTS + i * L.SERVICE_BYTES;
      if (arena.u8[at + L.SERVICE_FAMILY] === 0) continue;
      arena.u8[at + L.SERVICE_PORT + 1]! ^= 1;
      return;
    }
  });
  damaging("the state of a backend", /^the record of backend near\/b2 differs$/, (bed) => {
    const { arena, directory } = bed.rig.engine;
    arena.setWord(directory.backendRecord(2) + L.BACKEND_STATE, L.BACKEND_STATE_DEAD);
  });
  damaging("the next hop of a backend", /^the record of backend near\/b3 differs$/, (bed) => {
    const { arena, directory } = bed.rig.engine;
    arena.u64[(directory.backendRecord(3) + L.BACKEND_NEXT_HOP) / 8]! ^= 1n;
  });

  damaging("the address of the last backend", /^the record of backend far\/b6 differs$/, (bed) => {
    const { arena, directory } = bed.rig.engine;
    arena.u8[directory.backendRecord(8) + L.BACKEND_ADDRESS + 15]! ^= 1;
  });
  damaging("a record that no backend has", /^the record 1023 of no backend differs$/, (bed) => {
    const { arena, directory } = bed.rig.engine;
    arena.setWord(directory.backendRecord(1023) + L.BACKEND_STATE, L.BACKEND_STATE_ACTIVE);
  });

  test("tables of other configurations, and backends that come and go, are no damage", () => {
    const bed = newBed();
    bed.rounds(3);
    const { directory, config } = bed.rig.engine;
    const { pools, vips } = config;
    const near = { ...pools.near!, backends: pools.near!.backends.slice(1) };
    for (const next of [
      { pools: { near }, vips: vips.filter(({ pool }) => pool === "near") },
      config,
      { pools, vips: [] },
    ]) {
      directory.apply(next);
      bed.rounds(4);
      for (const { id, config } of directory.backends.filter(Boolean))
        directory.setNextHop(id, { mac: macBytes(offlineMac(config.address)), interface: 0 });
      bed.rounds(4);
      directory.reclaim();
    }
    assert.deepEqual([bed.changes, bed.health.status().tables.corrupted], [[true], 0]);
  });

  test("without room for a repair it stays unhealthy and goes on trying", () => {
    const bed = newBed();
    bed.rounds(3);
    const { heap, arena } = bed.rig.engine;
    const taken: number[] = [];
    for (let bytes = 1 << 24; bytes >= L.LINE; bytes >>= 1) {
      while (heap.hasRoom(bytes)) taken.push(heap.allocate(bytes));
    }
    arena.u16[(tableOf(bed, "near") + L.TABLE_SLOTS) / 2]! ^= 1;
    bed.until(false, 3);
    assert.equal(bed.rounds(4).healthy, false);
    assert.equal(bed.health.status().tables.repaired, 0);
    for (const block of taken) heap.free(block);
    bed.until(true, 5);
  });
});

suite("links", () => {
  test("one that is down counts at once, one that is up after `rise` rounds", () => {
    let links: LinkStatus[] = [{ name: "eth0", healthy: true, operstate: "up" }];
    let changed = () => {};
    const bed = newBed(1, {
      links: () => links,
      watchLinks: (callback: () => void) => {
        changed = callback;
        return () => {};
      },
    });
    bed.health.start();
    bed.health.stop();
    bed.rounds(4);
    links = [{ name: "eth0", healthy: false, operstate: "down", reason: "its link is down" }];
    changed();
    assert.deepEqual(bed.changes, [true, false], "without waiting for the next round");
    assert.deepEqual(bed.health.status().reasons, ["interface eth0: its link is down"]);
    links = [{ name: "eth0", healthy: true, operstate: "up" }];
    for (let i = 0; i < 5; i++) changed();
    assert.equal(bed.health.status().healthy, false, "many events are not many rounds");
    assert.deepEqual(bed.health.status().reasons, ["interface eth0: not up for long enough yet"]);
    assert.equal(bed.until(true, 3), 2);
  });
});

test("with workers as threads it becomes healthy, and unhealthy when they end", {
  timeout: 20_000,
}, async () => {
  const rig = new Rig(anyConfig(), { workers: 2, selfTest: true });
  const pool = rig.start();
  let next = () => {};
  const bed = new Bed(rig, {
    wake: (worker) => pool.wake(worker),
    settings: { interval: 50, timeout: 250, rise: 2, fall: 2 },
  });
  const change = () => new Promise<void>((resolve) => (next = resolve));
  bed.health.onChange(() => next());
  const healthy = change();
  bed.health.start();
  await healthy;
  const { workers } = bed.health.status();
  assert.ok(workers.every(({ lastProbeUs }) => lastProbeUs! > 0 && lastProbeUs! < 1_000_000));
  const unhealthy = change();
  await pool.stop();
  await unhealthy;
  bed.health.stop();
  assert.match(bed.health.status().reasons.join(), /worker 0: no answer/);
});
