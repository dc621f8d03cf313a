// Fragments that wait: limits, order, hand-off, traps, and what the number of workers changes: nothing.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { stringify } from "yaml";
import * as L from "../../assembly/layout.ts";
import { parseConfig } from "../../src/config/load.ts";
import { OfflineEngine, type OfflineResult } from "../../src/io/offline.ts";
import { random } from "../dataplane/random.ts";
import { packet } from "../packets/packet.ts";
import { anyConfig, Rig } from "./rig.ts";

const STEP_MS = 16;

interface Datagram {
  src?: string;
  id?: number;
  sport?: number;
  dst?: string;
}

/** The n-th of three fragments of 24, 16 and 8 bytes of UDP to port 80. */
function fragment(n: number, { src = "192.0.2.1", id = 7, sport = 40000, dst = "10.99.0.1" }: Datagram = {}) {
  const offsets = [0, 3, 5];
  const fields = { moreFragments: n < 2, fragmentOffset: offsets[n]!, id, df: false, protocol: 17 };
  const ip = packet()
    .ethernet()
    .ipv4({ src, dst, ...fields });
  if (n > 0) return ip.payload(n === 1 ? 16 : 8).bytes();
  return ip.udp({ sport, dport: 80, length: 48, checksum: 0 }).payload(16).bytes();
}

function waiting(rig: Rig): number {
  const { held } = rig.audit().places;
  assert.equal(rig.engine.arena.word(L.HEADER_HELD), held);
  return held;
}

function checkFrames(rig: Rig): void {
  const { missing, duplicated, invalid, places, total } = rig.audit();
  assert.deepEqual({ missing, duplicated, invalid }, { missing: [], duplicated: [], invalid: [] });
  assert.equal(places.fill + places.held, total);
}

/** Delivers to the worker that the packets are steered to. */
function deliver(rig: Rig, ...packets: Uint8Array[]): void {
  for (const bytes of packets) assert.ok(rig.deliver(rig.owner(bytes), bytes) !== undefined);
}

suite("fragments", () => {
  test("a shard holds 64, and lets all of them go on when the first one comes", () => {
    const rig = new Rig(anyConfig(), {});
    for (let n = 0; n < L.HELD_FRAGMENTS + 3; n++) deliver(rig, fragment(2));
    rig.runAll();
    assert.equal(waiting(rig), L.HELD_FRAGMENTS);
    assert.deepEqual(rig.statistics.reasons(), { "fragment-limit": 3 });
    deliver(rig, fragment(0));
    rig.runAll();
    assert.equal(waiting(rig), 0);
    assert.deepEqual(rig.statistics.reasons(), { hit: L.HELD_FRAGMENTS, new: 1, "fragment-limit": 3 });
    const { packets } = rig.statistics.vip(0);
    assert.equal(packets, L.HELD_FRAGMENTS + 1, "each counts for its VIP");
    assert.equal(new Set(rig.collect().map(({ bytes }) => bytes.slice(0, 6).toString())).size, 1);
    rig.settle();
    checkFrames(rig);
  });

  test("all shards together hold an eighth of the frames", () => {
    const rig = new Rig(anyConfig({ frames: { count: 400 } }), { workers: 2 });
    for (let n = 0; n < 60; n++) deliver(rig, fragment(2, { src: `198.51.100.${n}` }));
    rig.runAll();
    assert.equal(waiting(rig), 50);
    assert.deepEqual(rig.statistics.reasons(), { "fragment-limit": 10 });
    rig.settle();
    checkFrames(rig);
    rig.clockMs += L.FRAGMENT_HELD_MS;
    rig.runAll();
    assert.deepEqual(rig.statistics.reasons(), { "fragment-timeout": 50, "fragment-limit": 10 });
    assert.equal(waiting(rig), 0);
    rig.settle();
    checkFrames(rig);
  });

  test("a flood of fragments of others leaves the rest of a datagram its place", () => {
    const rig = new Rig(anyConfig(), {});
    deliver(rig, fragment(0));
    rig.runAll();
    const own = rig.owner(fragment(0));
    for (let n = 0; n < 3000; n++) {
      deliver(rig, fragment(n % 3, { src: `198.51.${n >> 8}.${n & 255}`, id: n & 0xffff }));
      rig.runAll();
      rig.collect();
      rig.settle();
    }
    rig.records();
    rig.deliver(own, fragment(2));
    rig.runAll();
    assert.deepEqual(
      rig.records().map(({ reason }) => reason),
      ["hit"],
    );
    assert.ok(waiting(rig) <= rig.engine.arena.plan.heldLimit);
  });

  test("a first fragment in the same batch, behind the others, is first enough", () => {
    const rig = new Rig(anyConfig(), {});
    deliver(rig, fragment(2), fragment(1), fragment(0));
    assert.equal(rig.run(0), 5, "two of them are taken twice");
    assert.deepEqual(rig.statistics.reasons(), { hit: 2, new: 1 });
    assert.equal(rig.collect().length, 3);
    rig.settle();
    checkFrames(rig);
  });

  test("fragments at a wrong worker reach the one that knows, and their flow's owner", () => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 0, 2],
    ]) {
      const rig = new Rig(anyConfig(), { workers: 4 });
      for (const n of order) {
        rig.deliver((rig.owner(fragment(n)) + 1 + n) % 4, fragment(n));
        rig.runAll();
      }
      assert.deepEqual(rig.statistics.reasons(), { hit: 2, new: 1 }, order.join());
      assert.equal(new Set(rig.collect().map(({ worker }) => worker)).size, 1, "one worker sends all");
      rig.settle();
      checkFrames(rig);
    }
  });

  test("a batch that traps gives its fragments up, but not those that it let go on", () => {
    const rig = new Rig(anyConfig(), {});
    deliver(rig, fragment(2));
    rig.runAll();
    const { arena } = rig.engine;
    const vips = arena.word(L.HEADER_SERVICES) + L.SERVICES_VIPS;
    const offset = arena.word(vips);
    arena.setWord(vips, 0xf0000000 - arena.word(L.HEADER_SERVICES));
    deliver(rig, fragment(1), fragment(0));
    assert.throws(() => rig.run(0), WebAssembly.RuntimeError);
    rig.instance(0).abandon();
    arena.setWord(vips, offset);
    rig.settle();
    checkFrames(rig);
    assert.equal(rig.audit().places.held, 1);
    rig.runAll();
    assert.deepEqual(rig.statistics.reasons(), { new: 1, trapped: 2 });
    rig.collect();
    rig.settle();
    checkFrames(rig);
    assert.equal(waiting(rig), 0);
  });

  test("a worker that sleeps ends the wait of its fragments", async () => {
    const rig = new Rig(anyConfig(), { workers: 2 });
    const pool = rig.start({ spinUs: 0 });
    try {
      deliver(rig, fragment(2));
      const until = performance.now() + 5000;
      while (!rig.statistics.reasons()["fragment-timeout"]) {
        assert.ok(performance.now() < until, "it gets its reason in time");
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    } finally {
      await pool.stop();
    }
    checkFrames(rig);
  });

  test("self-tests and probes teach nothing and do not wait", () => {
    const rig = new Rig(anyConfig(), { selfTest: true });
    for (const n of [0, 2]) {
      const frame = rig.selfTest!.takeFrame()!;
      rig.engine.arena.u8.set(fragment(n), rig.selfTest!.address(frame));
      rig.selfTest!.deliver(0, frame, fragment(n).length);
    }
    rig.run(0);
    assert.deepEqual(rig.statistics.reasons(), { probe: 2 });
    deliver(rig, fragment(2));
    rig.runAll();
    assert.equal(waiting(rig), 1, "nothing is known of its datagram");
  });

  test("1 and 4 workers, in this thread and in others: the same results", async () => {
    const { config } = parseConfig(stringify(anyConfig({ frames: { count: 1024 } })), "fragments.yaml");
    const next = random(3);
    const below = (n: number) => Math.floor(next() * n);
    let timeMs = 0;
    const packets = Array.from({ length: 3000 }, () => {
      timeMs += below(30) === 0 ? below(5) * STEP_MS : 0;
      const src = `198.51.100.${below(40)}`;
      const datagram = { src, id: below(16), sport: 40000 + below(3) };
      const isFragment = below(10) > 0;
      const bytes = isFragment
        ? fragment(below(3), datagram)
        : packet()
            .ethernet()
            .ipv4({ src, dst: "10.99.0.1" })
            .udp({ sport: datagram.sport, dport: 80 })
            .bytes();
      return { bytes, timeMs };
    });
    const results = async (workers: number, inline: boolean): Promise<OfflineResult[]> => {
      const engine = new OfflineEngine(config, { workers, inline });
      try {
        const list = await engine.process(packets.slice(0, 2000));
        list.push(...(await engine.process(packets.slice(2000))));
        await engine.flush();
        return list;
      } finally {
        await engine.close();
      }
    };
    const expected = await results(1, true);
    const count = (name: string) => expected.filter(({ reason }) => reason === name).length;
    assert.ok(count("fragment-timeout") > 50, `${count("fragment-timeout")} in vain`);
    assert.ok(count("fragment-limit") > 50, `${count("fragment-limit")} too many`);
    assert.ok(count("hit") > 1000);
    assert.deepEqual(await results(4, true), expected);
    assert.deepEqual(await results(4, false), expected);
  });
});
