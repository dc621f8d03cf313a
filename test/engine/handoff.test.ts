// Packets at the wrong worker: they reach the owner of their shard through the hand-off ring, and nothing else about
// them is different.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { stringify } from "yaml";
import * as L from "../../assembly/layout.ts";
import { parseConfig } from "../../src/config/load.ts";
import type { PacketRecord } from "../../src/dataplane/journal.ts";
import { OfflineEngine, type OfflineResult } from "../../src/io/offline.ts";
import { type Config, offlineSetup } from "../model/setup.ts";
import { hostilePacket } from "../packets/hostile.ts";
import { packet } from "../packets/packet.ts";
import { runs } from "../runs.ts";
import { anyConfig, Rig, type Sent } from "./rig.ts";

const CLOCK_MS = 16;
const ROUND = 500;

const config = anyConfig({ frames: { count: 2048 } });
const setup = offlineSetup(config as Config);

const packets = fc
  .sample(hostilePacket(setup), { seed: runs.seed, numRuns: runs.handoff.packets })
  .filter((bytes) => bytes.length <= 2048 - L.HEADROOM);

/** A SYN of the n-th flow to the first VIP. */
const syn = (n: number) =>
  packet()
    .ethernet()
    .ipv4({ src: `192.0.2.${n & 255}`, dst: "10.99.0.1" })
    .tcp({ sport: 1024 + (n >> 8), dport: 80 })
    .bytes();

type Decision = Pick<
  OfflineResult,
  "verdict" | "reason" | "service" | "vip" | "backend" | "track" | "key" | "out"
>;

function decision(
  {
    verdict,
    reason,
    service,
    vip,
    backend,
    track,
    key,
  }: Omit<PacketRecord, "worker" | "frame" | "line" | "extras">,
  out: Uint8Array | undefined,
): Decision {
  return { verdict, reason, service, vip, backend, track, key, ...(out && { out }) };
}

/** What the same packets get where each is given to its owner. */
async function expected(workers: number): Promise<Decision[]> {
  const { config: parsed } = parseConfig(stringify(config), "handoff.yaml");
  const engine = new OfflineEngine(parsed, { workers, inline: true });
  const results = await engine.process(packets.map((bytes) => ({ bytes, timeMs: CLOCK_MS })));
  await engine.flush();
  return results.map((result) => decision(result, result.out));
}

/**
 * Feeds all packets in rounds. In each round every owner's packets go by one wrong worker, so that their order is kept.
 * `work` returns when the round is over.
 */
async function misdeliver(rig: Rig, work: (round: Round) => Promise<void>): Promise<Decision[]> {
  const decisions: Decision[] = [];
  const held = new Map<number, number>();
  const finish = async (round: Round) => {
    await work(round);
    for (const [frame, i] of round.frames) {
      decisions[i] = decision(round.records.get(frame)!, round.sent.get(frame)?.bytes);
    }
  };
  let to = 0;
  for (let from = 0, n = 0; from < packets.length; from = to, n++) {
    const shift = 1 + (n % (rig.workers - 1));
    const round: Round = { frames: new Map(), records: new Map(), sent: new Map(), held };
    // What goes on to another worker has a round of its own.
    for (to = from; to < Math.min(packets.length, from + ROUND); to++) {
      const bytes = packets[to]!;
      const isApart = rig.isApart(bytes);
      if (isApart && to > from) break;
      const frame = rig.deliver((rig.owner(bytes) + shift) % rig.workers, bytes);
      assert.ok(frame !== undefined, "there is a frame and room for every packet of a round");
      round.frames.set(frame, to);
      if (isApart && ++to) break;
    }
    await finish(round);
  }
  rig.clockMs += L.FRAGMENT_HELD_MS;
  const { f64 } = rig.engine.arena;
  if (f64[L.HEADER_CLOCK / 8] !== 0) f64[L.HEADER_CLOCK / 8] = rig.clockMs;
  await finish({ frames: new Map(held), records: new Map(), sent: new Map(), held });
  return decisions;
}

interface Round {
  /** Index of the packet in each frame. */
  frames: Map<number, number>;
  records: Map<number, PacketRecord>;
  sent: Map<number, Sent>;
  /** Of fragments that wait, also those of rounds before. */
  held: Map<number, number>;
}

/** @returns whether every packet of the round has its record, and its bytes if it left */
function gather(rig: Rig, { frames, records, sent, held }: Round): boolean {
  // What is in other frames are fragments that follow them.
  for (const each of rig.collect()) {
    if (frames.has(each.frame) || held.has(each.frame)) sent.set(each.frame, each);
  }
  for (const record of rig.records()) {
    const { frame, reason } = record;
    assert.ok(!records.has(frame), "one record for each packet");
    if (reason === "held") {
      held.set(frame, frames.get(frame)!);
      frames.delete(frame);
      continue;
    }
    if (held.has(frame)) frames.set(frame, held.get(frame)!);
    held.delete(frame);
    records.set(frame, record);
  }
  const left = [...records.values()].filter(({ verdict }) => verdict === "forward" || verdict === "reply");
  const waiting = rig.engine.arena.word(L.HEADER_HELD);
  return records.size === frames.size && left.length === sent.size && held.size === waiting;
}

/** Packets of flows: what has an owner other than the worker where it came. */
const flows = (decisions: Decision[]) =>
  decisions.filter(({ track, reason }) => track !== "none" && reason !== "icmp-error").length;

function checkFrames(rig: Rig): void {
  const { places, missing, duplicated, invalid, total } = rig.audit();
  assert.deepEqual({ missing, duplicated, invalid }, { missing: [], duplicated: [], invalid: [] });
  assert.equal(places.fill + places.free + places.completion, total);
}

suite("hand-off", () => {
  for (const workers of [2, 3, 8]) {
    test(`${workers} workers, every packet at a wrong one: same verdicts, same bytes`, async () => {
      const rig = new Rig(config, { workers, reserve: L.MAX_EXTRAS });
      rig.clockMs = CLOCK_MS;
      const decisions = await misdeliver(rig, async (round) => {
        rig.runAll();
        assert.ok(gather(rig, round));
        rig.settle();
      });
      assert.deepEqual(decisions, await expected(1));
      checkFrames(rig);
      const counters = rig.statistics.workers();
      const handed = counters.reduce((sum, worker) => sum + worker.handed, 0);
      const received = counters.reduce((sum, worker) => sum + worker.packets, 0);
      assert.ok(handed >= flows(decisions), "every packet of a flow was handed over");
      assert.equal(received, packets.length + handed, "and received twice");
      assert.equal(
        Object.values(rig.statistics.reasons()).reduce((a, b) => a + b, 0),
        packets.length,
      );
    });
  }

  test("two worker threads, which may sleep, every packet at the wrong one", async () => {
    const rig = new Rig(config, { workers: 2, reserve: L.MAX_EXTRAS });
    rig.clockMs = CLOCK_MS;
    rig.engine.arena.f64[L.HEADER_CLOCK / 8] = CLOCK_MS;
    const pool = rig.start({ spinUs: 0 });
    try {
      const decisions = await misdeliver(rig, async (round) => {
        const until = performance.now() + 10_000;
        while (!gather(rig, round)) {
          assert.ok(
            performance.now() < until,
            `${round.records.size} of ${round.frames.size} packets in time`,
          );
          await new Promise(setImmediate);
        }
      });
      assert.deepEqual(decisions, await expected(1));
    } finally {
      for (const { drained, traps } of await pool.stop()) {
        assert.deepEqual({ drained, traps }, { drained: true, traps: 0 });
      }
    }
    checkFrames(rig);
    assert.ok(rig.statistics.workers().every(({ handed, parks }) => handed > 0 && parks > 0));
  });

  test("a sleeping owner is woken for what it is handed", async () => {
    const rig = new Rig(anyConfig(), { workers: 2 });
    const pool = rig.start({ spinUs: 0 });
    const waitsMs: number[] = [];
    try {
      for (let n = 0; waitsMs.length < 21; n++) {
        if (rig.owner(syn(n)) !== 1) continue;
        while (!rig.statistics.workers()[1]!.parked) await new Promise(setImmediate);
        const from = performance.now();
        rig.deliver(0, syn(n));
        while (rig.collect().length === 0) {
          assert.ok(performance.now() - from < 5000, "it leaves at last");
          await new Promise(setImmediate);
        }
        waitsMs.push(performance.now() - from);
      }
    } finally {
      await pool.stop();
    }
    // By itself it wakes up ten times a second.
    const median = waitsMs.sort((a, b) => a - b)[10]!;
    assert.ok(median < 25, `${waitsMs.map(Math.round)} ms`);
  });

  test("a full ring drops what does not fit as handoff-full, and keeps the rest", () => {
    const rig = new Rig(anyConfig(), { workers: 2 });
    const frames: number[] = [];
    for (let n = 0; frames.length < L.HANDOFF_ENTRIES + 300; n++) {
      if (rig.owner(syn(n)) === 1) frames.push(rig.deliver(0, syn(n))!);
    }
    assert.equal(rig.run(0), frames.length);
    assert.deepEqual(rig.statistics.reasons(), { "handoff-full": 300 });
    const refused = rig.records();
    assert.deepEqual(
      refused.map(({ frame, verdict, reason }) => ({ frame, verdict, reason })),
      [
        ...frames
          .slice(L.HANDOFF_ENTRIES)
          .map((frame) => ({ frame, verdict: "drop", reason: "handoff-full" })),
      ],
    );
    assert.equal(rig.audit().places.handoff, L.HANDOFF_ENTRIES);

    assert.equal(rig.run(1), L.HANDOFF_ENTRIES);
    assert.deepEqual(rig.statistics.reasons(), { new: L.HANDOFF_ENTRIES, "handoff-full": 300 });
    assert.deepEqual(
      rig.collect().map(({ worker, frame }) => ({ worker, frame })),
      frames.slice(0, L.HANDOFF_ENTRIES).map((frame) => ({ worker: 1, frame })),
    );
    rig.settle();
    checkFrames(rig);
  });

  test("the owner's last batch makes room again", () => {
    const rig = new Rig(anyConfig({ workers: { batch: 1 } }), { workers: 2 });
    const mine: Uint8Array[] = [];
    for (let n = 0; mine.length < L.HANDOFF_ENTRIES + 1; n++) if (rig.owner(syn(n)) === 1) mine.push(syn(n));
    for (const bytes of mine.slice(0, -1)) rig.deliver(0, bytes);
    rig.run(0);
    rig.run(1, 1);
    rig.deliver(0, mine.at(-1)!);
    rig.run(0);
    assert.deepEqual(rig.statistics.reasons(), { new: 1 }, "none refused");
    rig.runAll();
    assert.deepEqual(rig.statistics.reasons(), { new: L.HANDOFF_ENTRIES + 1 });
  });
});
