// Threads that die in the middle of their work: the next one takes over, flows stay where they are, and nothing is lost but what
// was in their hands.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import * as L from "../../assembly/layout.ts";
import type { Mishap, WorkerPool } from "../../src/dataplane/pool.ts";
import { type Config, offlineSetup } from "../model/setup.ts";
import { hostilePacket } from "../packets/hostile.ts";
import { packet } from "../packets/packet.ts";
import { runs } from "../runs.ts";
import { ENDS, type End, orderWord } from "./ends.ts";
import { activeFlows, countedEntries, entries } from "./entries.ts";
import { anyConfig, Rig } from "./rig.ts";

const BATCH = 16;
const WORKERS = 2;
const FLOWS = 200;
const file = fileURLToPath(new URL("./breakable-worker.ts", import.meta.url));
const config = anyConfig({ workers: { batch: BATCH } });

const segment = (n: number, flags: string) =>
  packet()
    .ethernet()
    .ipv4({ src: `192.0.2.${n & 255}`, dst: "10.99.0.1" })
    .tcp({ sport: 1024 + (n >> 8), dport: 80, flags })
    .bytes();

/** Packets of every kind, some of which become several or wait. */
const mixed = fc
  .sample(hostilePacket(offlineSetup(config as Config)), { seed: runs.seed, numRuns: 2000 })
  .filter((bytes) => bytes.length > 0 && bytes.length <= 1500);

interface Bed {
  rig: Rig;
  pool: WorkerPool;
  mishaps: Mishap[];
  /** Packets that have left, since the last call. */
  collected(): number;
  until(what: string, holds: () => boolean): Promise<void>;
}

async function withBed(body: (bed: Bed) => Promise<void>): Promise<void> {
  const rig = new Rig(config, { workers: WORKERS, reserve: 8 });
  const mishaps: Mishap[] = [];
  const pool = rig.start({ file, spinUs: 50, onMishap: (mishap) => mishaps.push(mishap) });
  const until: Bed["until"] = async (what, holds) => {
    const deadline = performance.now() + 10_000;
    while (!holds()) {
      assert.ok(performance.now() < deadline, `${what}: ${JSON.stringify(rig.statistics.reasons())}`);
      await new Promise(setImmediate);
    }
  };
  try {
    await body({ rig, pool, mishaps, until, collected: () => rig.collect().length });
  } finally {
    await pool.stop();
  }
  rig.collect();
  for (let worker = 0; worker < WORKERS; worker++) rig.run(worker);
  const { missing, duplicated, invalid, places } = rig.audit();
  assert.deepEqual({ missing, duplicated, invalid }, { missing: [], duplicated: [], invalid: [] });
  assert.equal(places.inHand, 0);
  const { counted, found } = activeFlows(rig.engine);
  assert.deepEqual(counted, found);
  assert.equal(countedEntries(rig.engine.arena), entries(rig.engine.arena).length);
}

/** Sends a packet of every flow to its owner. @returns the destination of each, by the flow's source */
async function backends({ rig, until }: Bed, flags: string): Promise<Map<string, string>> {
  const seen = new Map<string, string>();
  const sent = () => {
    for (const { bytes } of rig.collect()) {
      const hex = Buffer.from(bytes).toString("hex");
      seen.set(hex.slice(52, 60) + hex.slice(68, 72), hex.slice(0, 12));
    }
    return seen.size === FLOWS;
  };
  for (let n = 0; n < FLOWS; n++) {
    const bytes = segment(n, flags);
    // Half of them at the wrong worker.
    const worker = n % 2 === 0 ? rig.owner(bytes) : 1 - rig.owner(bytes);
    await until("room", () => rig.deliver(worker, bytes) !== undefined || sent() || false);
  }
  await until("every flow's packet", sent);
  return seen;
}

suite("workers that die", () => {
  test("anywhere, again and again, with packets of every kind", async (t) => {
    const { deaths } = runs.deaths;
    const took: number[] = [];
    await withBed(async (bed) => {
      const { rig, pool, mishaps, until } = bed;
      const established = await backends(bed, "S");
      const next = fc.sample(fc.nat(1e6), { seed: runs.seed, numRuns: 4 * deaths });
      const reasons = () => rig.statistics.reasons();
      const count = () => Object.values(reasons()).reduce((sum, each) => sum + each, 0);
      const before = count();
      let delivered = 0;
      for (let death = 0; death < deaths; death++) {
        const worker = next[4 * death]! % WORKERS;
        const packets = 50 + (next[4 * death + 1]! % 200);
        for (let i = 0; i < packets; i++) {
          const bytes = mixed[(next[4 * death + 2]! + i) % mixed.length]!;
          if (rig.deliver((i + death) % WORKERS, bytes) !== undefined) delivered++;
          if (i === packets >> 1) pool.terminate(worker);
        }
        rig.collect();
        await until(`death ${death + 1}`, () => {
          rig.collect();
          return mishaps.length === death + 1;
        });
        took.push(mishaps.at(-1)!.replacedInMs!);
      }
      assert.ok(mishaps.every(({ kind }) => kind === "died"));
      assert.equal(pool.restarts, deaths);
      // What waits for its first fragment does so for half a second.
      await until("every packet has its reason", () => {
        rig.collect();
        return count() - before >= delivered && rig.audit().places.held === 0;
      });
      const { trapped = 0 } = reasons();
      assert.ok(trapped <= deaths * BATCH, `${trapped} packets lost by ${deaths} deaths`);
      assert.deepEqual(await backends(bed, "A"), established, "flows are where they were");
      assert.equal(reasons().new! >= FLOWS, true);
      t.diagnostic(`${deaths} deaths, ${delivered} packets, ${trapped} lost`);
    });
    took.sort((a, b) => a - b);
    t.diagnostic(
      `replaced in ${took[took.length >> 1]!.toFixed(1)} ms (median), ${took.at(-1)!.toFixed(1)} ms (most)`,
    );
    // The aim is 100.
    assert.ok(took[took.length >> 1]! < 1000);
  });

  for (const [end, kind, cause] of [
    ["exit", /died/, /exited with code: 3/],
    ["throw", /died/, /broken by a test/],
    // On a busy machine it takes longer to fill the heap than a loop may stand still.
    ["memory", /died|stuck/, /./],
    ["loop", /stuck/, /./],
  ] as const satisfies [End, RegExp, RegExp][])
    test(`by ${end}: replaced, and flows stay`, async () => {
      await withBed(async (bed) => {
        const { rig, pool, mishaps, until } = bed;
        const established = await backends(bed, "S");
        Atomics.store(rig.engine.arena.u32, orderWord(1), ENDS.indexOf(end) + 1);
        pool.wake(1);
        await until("the next thread", () => mishaps.length === 1);
        assert.equal(mishaps[0]!.worker, 1);
        assert.match(mishaps[0]!.kind, kind);
        assert.match(mishaps[0]!.cause, cause);
        assert.deepEqual(await backends(bed, "A"), established);
        assert.equal(rig.statistics.reasons().new, FLOWS);
      });
    });

  test("one whose threads all end before their first pass is given up", async () => {
    const rig = new Rig(config, { workers: 1 });
    const pool = rig.start({ file: fileURLToPath(new URL("./ends.ts", import.meta.url)) });
    await assert.rejects(pool.failure(), /worker 0 cannot be started: 5 threads have ended at once/);
    await pool.stop().catch(() => {});
    assert.equal(rig.engine.arena.word(rig.engine.arena.workerBlock(0) + L.WORKER_EPOCH), L.WORKER_OFFLINE);
  });
});
