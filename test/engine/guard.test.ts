// Guards where several workers are at them: one bucket for a source prefix, whoever gets its packets.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { stringify } from "yaml";
import * as L from "../../assembly/layout.ts";
import { parseConfig } from "../../src/config/load.ts";
import type { PacketRecord } from "../../src/dataplane/journal.ts";
import { OfflineEngine, type OfflineResult } from "../../src/io/offline.ts";
import { packet } from "../packets/packet.ts";
import { Rig } from "./rig.ts";

const CLOCK_MS = 1600;

function configWith(guard: object): Record<string, unknown> {
  return {
    frames: { count: 2048 },
    conntrack: { flows: 1000 },
    pools: { web: { tableSize: 7, backends: [{ address: "10.0.0.21" }, { address: "10.0.0.22" }] } },
    vips: [
      { name: "web", address: "10.99.0.1", port: 80, pool: "web", guard },
      { name: "web6", address: "fd99::1", port: 80, pool: "web", guard },
    ],
  };
}

/** A SYN by its source. */
function syn(src: string, sport = 40000): Uint8Array {
  const dst = src.includes(":") ? "fd99::1" : "10.99.0.1";
  const ip = packet().ethernet();
  return (src.includes(":") ? ip.ipv6({ src, dst }) : ip.ipv4({ src, dst }))
    .tcp({ sport, dport: 80 })
    .bytes();
}

const count = (results: readonly { reason: string }[], reason: string) =>
  results.filter((each) => each.reason === reason).length;

async function process(config: object, packets: Uint8Array[], workers = 1): Promise<OfflineResult[]> {
  const engine = new OfflineEngine(parseConfig(stringify(config), "guard.yaml").config, {
    workers,
    inline: true,
  });
  return engine.process(packets.map((bytes, i) => ({ bytes, timeMs: i >> 4 })));
}

suite("guards", () => {
  test("four workers at once let exactly as many through as one would", async () => {
    const LIMIT = 700;
    const rig = new Rig(configWith({ packetsPerSecond: { limit: LIMIT, prefix: 16 } }), { workers: 4 });
    const packets = Array.from({ length: 1600 }, (_, n) => syn(`192.0.${n & 255}.${n >> 8}`, 1024 + n));
    for (const bytes of packets) assert.ok(rig.deliver(rig.owner(bytes), bytes) !== undefined);
    const clock = new BigUint64Array(Float64Array.of(CLOCK_MS).buffer)[0]!;
    Atomics.store(rig.engine.arena.u64, L.HEADER_CLOCK / 8, clock);
    const pool = rig.start();
    try {
      for (let worker = 0; worker < 4; worker++) pool.wake(worker);
      const records: PacketRecord[] = [];
      const until = performance.now() + 10_000;
      while (records.length < packets.length) {
        records.push(...rig.records());
        rig.collect();
        assert.ok(performance.now() < until, `${records.length} of ${packets.length} in time`);
        await new Promise(setImmediate);
      }
      assert.equal(count(records, "new"), LIMIT);
      assert.equal(count(records, "rate-limited"), packets.length - LIMIT);
    } finally {
      await pool.stop();
    }
  });

  test("a worker whose clock is a step behind finds a full bucket full", () => {
    const LIMIT = 100;
    const rig = new Rig(configWith({ packetsPerSecond: { limit: LIMIT, prefix: 16 } }), { workers: 2 });
    const packets = Array.from({ length: 2000 }, (_, n) => syn(`192.0.${n & 255}.${n >> 8}`, 1024 + n));
    const of = (worker: number, from: number) =>
      packets.filter((bytes) => rig.owner(bytes) === worker).slice(from, from + LIMIT);
    /** Lets a worker have packets of its own flows at a time. @returns how many pass */
    const passed = (worker: number, clockMs: number, from = 0) => {
      rig.clockMs = clockMs;
      for (const bytes of of(worker, from)) assert.ok(rig.deliver(worker, bytes) !== undefined);
      rig.run(worker);
      rig.collect();
      return count(rig.records(), "new");
    };
    assert.equal(passed(0, CLOCK_MS), LIMIT);
    assert.equal(passed(1, CLOCK_MS - 16), 0, "16 ms behind");
    assert.equal(passed(0, CLOCK_MS, LIMIT), 0, "and it stays as it was");
    assert.equal(passed(1, CLOCK_MS + 496), LIMIT / 2 - 1, "it runs empty by its own time");
  });

  test("the number of workers does not show offline, in whatever order they come", async () => {
    const config = configWith({ packetsPerSecond: { limit: 20, prefix: 24, prefix6: 48 } });
    const packets = Array.from({ length: 600 }, (_, n) =>
      syn(n % 3 ? `192.0.2.${n & 7}` : `2001:db8::${n}`, n * 97),
    );
    const [alone, four] = await Promise.all([1, 4].map((workers) => process(config, packets, workers)));
    const decided = (results: OfflineResult[]) =>
      results.map(({ reason, backend, track }) => [reason, backend, track]);
    assert.deepEqual(decided(four!), decided(alone!));
    assert.equal(count(alone!, "rate-limited"), 600 - 40);
  });

  test("where cells are scarce, those of the emptiest buckets go: who sends too much is not forgotten", async () => {
    const config = configWith({ packetsPerSecond: { limit: 5, prefix: 32 } });
    const engine = new OfflineEngine(parseConfig(stringify(config), "guard.yaml").config, { inline: true });
    const send = async (sources: string[]) =>
      engine.process(sources.map((src) => ({ bytes: syn(src), timeMs: 0 })));
    const busy = Array.from({ length: 50 }, (_, n) => `192.0.2.${n + 1}`);
    for (let i = 0; i < 5; i++) assert.equal(count(await send(busy), "rate-limited"), 0);
    assert.equal(count(await send(busy), "rate-limited"), busy.length);
    // Every other cell gets a prefix that has sent a packet: its bucket takes 200 ms to run empty.
    const { u64, plan } = engine.engine.arena;
    const first = plan.regions.rates.offset / 8;
    for (let cell = first; cell < first + L.RATE_LINES * L.RATE_CELLS; cell++) {
      if (u64[cell] === 0n) u64[cell] = (BigInt(cell & 7) << 48n) | (200n << 20n);
    }
    const others = Array.from({ length: 3000 }, (_, n) => `198.18.${n >> 8}.${n & 255}`);
    for (let i = 0; i < 5; i++) {
      assert.equal(count(await send(others), "rate-limited"), 0, "a new prefix sends what it may");
      assert.equal(count(await send(busy), "rate-limited"), busy.length);
    }
  });

  test("a running engine takes another guard", async () => {
    const first = parseConfig(stringify(configWith({ deny: ["192.0.2.0/24"] })), "guard.yaml").config;
    const engine = new OfflineEngine(first, { inline: true });
    const reasonsOf = async () =>
      (
        await engine.process(["192.0.2.1", "198.51.100.1"].map((src) => ({ bytes: syn(src), timeMs: 0 })))
      ).map(({ reason }) => reason);
    assert.deepEqual(await reasonsOf(), ["denied", "new"]);
    const second = parseConfig(stringify(configWith({ allow: ["192.0.2.1"] })), "guard.yaml").config;
    engine.engine.directory.apply(second);
    assert.deepEqual(await reasonsOf(), ["new", "denied"], "also those whose flow is known");
    engine.engine.directory.apply(parseConfig(stringify(configWith({})), "guard.yaml").config);
    assert.deepEqual(await reasonsOf(), ["hit", "hit"]);
  });
});
