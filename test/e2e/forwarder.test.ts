// A running balancer notices that it does not forward, in the time that it promises, and that it does again.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import * as L from "../../assembly/layout.ts";
import { Lab } from "../../src/lab/lab.ts";
import { startServers, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { ForeignArena } from "./arena.ts";
import { type Balancer, eventually, startBalancer } from "./harness.ts";
import { checkCounters, checkFrames, configOf, e2ePrefix, poolOf, requests, VIP } from "./setup.ts";
import { stopWorker } from "./worker-thread.ts";

const OPTIONS = { skip: skipReason(), timeout: 120_000 };
/** docs/forwarder.md: interval, timeout, and one more failure. And what a busy machine adds. */
const PROMISED_MS = 750;
const SLACK_MS = 500;

suite("a forwarder that fails", OPTIONS, () => {
  let lab: Lab;
  let balancer: Balancer;

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 2, queues: 2 });
    await startServers(lab);
    balancer = await startBalancer(lab, "lb1", configOf(lab, { workers: 2, pools: { web: poolOf(lab) } }));
  });
  after(async () => {
    await balancer?.close();
    await lab?.down();
  });

  const forwarder = async () => (await balancer.status()).forwarder;

  /** Waits until it is healthy or not. @returns milliseconds since `from` */
  async function until(healthy: boolean, from: number, limitMs = 5000): Promise<number> {
    const what = `the forwarder is ${healthy ? "" : "not "}healthy`;
    await eventually(what, async () => (await forwarder()).healthy === healthy, limitMs, 10);
    return performance.now() - from;
  }

  async function checkServed(): Promise<void> {
    const urls = [vipUrl(VIP.v4), vipUrl(VIP.v6)];
    const { failed, reasons } = await requests(lab, 100, { urls, concurrency: 4 });
    assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
  }

  test("it is healthy soon after the start, and its tests are in no counter", async () => {
    await until(true, performance.now(), 3000);
    await checkServed();
    const status = await balancer.status();
    assert.deepEqual(status.forwarder.reasons, []);
    assert.deepEqual(
      status.forwarder.interfaces.map(({ name, healthy }) => [name, healthy]),
      [["eth0", true]],
    );
    assert.ok(status.forwarder.workers.every(({ healthy, probes }) => healthy && probes > 2));
    assert.ok(status.forwarder.tables.rounds > 0);
    assert.ok(status.reasons.probe! >= 4);
    await checkCounters(balancer);
    await checkFrames(balancer);
  });

  test("a worker's thread that is stopped", async (t) => {
    const stopped = await stopWorker(balancer.pid);
    t.after(() => stopped.kill());
    const from = performance.now();
    const took = await until(false, from);
    const { reasons, workers } = await forwarder();
    console.log(`# unhealthy ${took.toFixed(0)} ms after a worker was stopped: ${reasons.join("; ")}`);
    assert.ok(took < PROMISED_MS + SLACK_MS, `${took} ms`);
    assert.match(reasons.join(), /worker \d: no answer for \d+ ms: the packet was not taken/);
    assert.equal(workers.filter(({ healthy }) => healthy).length, 1);
    stopped.kill();
    const back = await until(true, performance.now());
    console.log(`# healthy again ${back.toFixed(0)} ms after it went on`);
    await checkServed();
    await checkFrames(balancer);
  });

  test("a table entry that is damaged is repaired", async (t) => {
    const arena = new ForeignArena(balancer.pid);
    t.after(() => arena.close());
    const table = arena.firstTable();
    const slot = table + L.TABLE_SLOTS + 4 * 1000;
    const before = arena.word(slot);
    const { corrupted, repaired } = (await forwarder()).tables;
    const from = performance.now();
    arena.setWord(slot, 0xffffffff);
    const took = await until(false, from);
    const { reasons } = await forwarder();
    console.log(`# unhealthy ${took.toFixed(0)} ms after a table was damaged: ${reasons.join("; ")}`);
    assert.ok(took < 1000 + SLACK_MS, `${took} ms`);
    assert.match(reasons.join(), /the table of pool web: slot 2000: a byte is 255, expected \d/);
    await until(true, performance.now());
    const { tables } = await forwarder();
    assert.deepEqual([tables.corrupted - corrupted, tables.repaired - repaired], [1, 1]);
    const repairedTable = arena.firstTable();
    assert.notEqual(repairedTable, table);
    assert.equal(arena.word(repairedTable + L.TABLE_SLOTS + 4 * 1000), before);
    await checkServed();
  });

  test("a link that goes down", async (t) => {
    const link = (state: string) => lab.exec("router", ["ip", "link", "set", "dev", "p-lb1", state]);
    t.after(() => link("up"));
    const from = performance.now();
    await link("down");
    const took = await until(false, from);
    const { reasons, interfaces } = await forwarder();
    console.log(`# unhealthy ${took.toFixed(0)} ms after the link went down: ${reasons.join("; ")}`);
    assert.ok(took < SLACK_MS, `${took} ms`);
    assert.deepEqual([reasons.length, interfaces[0]!.healthy], [1, false]);
    assert.match(reasons[0]!, /^interface eth0: its link is (lowerlayer)?down$/);
    await link("up");
    await until(true, performance.now());
    await checkServed();
  });

  test("an end that is asked for is clean", async () => {
    const { code, log } = await balancer.stop();
    assert.equal(code, 0);
    const complaints = log.filter(({ level }) => level >= 40).map(({ msg }) => msg);
    assert.deepEqual(
      complaints.filter((msg) => !/^(the forwarder is not healthy|the arena is damaged|repaired)/.test(msg)),
      [],
    );
  });
});
