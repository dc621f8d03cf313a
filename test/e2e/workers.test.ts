// Workers that come, go, and stand still, under real connections.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { stringify } from "yaml";
import { Lab } from "../../src/lab/lab.ts";
import { startLoad, startServers, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { runs } from "../runs.ts";
import { type Balancer, eventually, startBalancer } from "./harness.ts";
import { checkNothingDropped } from "./observed.ts";
import { checkFrames, configOf, e2ePrefix, poolOf, requests, VIP } from "./setup.ts";
import { stopWorker } from "./worker-thread.ts";

const CAPACITY = 4;

suite("workers", { skip: skipReason(), timeout: 600_000 }, () => {
  let lab: Lab;
  let balancer: Balancer;
  let config: { workers: object };

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 3 });
    await startServers(lab);
    config = configOf(lab, { pools: { web: poolOf(lab) } }) as typeof config;
    config.workers = { count: 1, max: CAPACITY };
    balancer = await startBalancer(lab, "lb1", config);
  });
  after(async () => {
    await balancer?.close();
    await lab?.down();
  });

  /** Traffic that notices every lost packet: long-lived connections, and new ones. It flows when this resolves. */
  async function clients() {
    let answered = 0;
    const load = startLoad(lab, {
      urls: [vipUrl(VIP.v4), vipUrl(VIP.v6)],
      ...{ concurrency: 4, longLived: 20, rate: 200, intervalMs: 50 },
      onReport: ({ ok }) => {
        answered += ok;
      },
    });
    await eventually("requests are answered", () => answered > 0);
    return load;
  }
  const running = async () => (await balancer.status()).workers.length;

  test("come and go by command, and nobody notices", async (t) => {
    const load = await clients();
    const { changes } = runs.workers;
    for (let i = 0; i < changes; i++) {
      const count = 1 + ((i * 7 + 2) % CAPACITY);
      const { code, stdout, stderr } = await balancer.command("workers", `${count}`);
      assert.deepEqual(
        [code, stdout],
        [0, `${count} worker${count === 1 ? " forwards" : "s forward"}\n`],
        stderr,
      );
      assert.equal(await running(), count);
      assert.equal((await balancer.status()).forwarder.healthy, true);
    }
    const { ok, failed, failures, longLived } = await load.stop();
    assert.deepEqual([failed, failures, longLived.lost], [0, [], 0]);
    assert.ok(ok > 20 * changes, `${ok} requests`);
    await checkNothingDropped(balancer);
    await checkFrames(balancer);
    t.diagnostic(`${changes} changes, ${ok} requests, none failed`);
  });

  test("by the configuration, and no more than the machine was started for", async () => {
    const load = await clients();
    const text = (workers: object) =>
      stringify({
        ...config,
        workers,
        admin: { socket: balancer.socket },
        change: { state: `${balancer.folder}/state` },
      });
    await balancer.admin.reload({ text: text({ count: 3, max: CAPACITY }) });
    assert.equal(await running(), 3);
    await assert.rejects(
      balancer.admin.reload({ text: text({ count: 3, max: 8 }) }),
      /workers\.max \(4 > 8\)/,
    );
    await assert.rejects(balancer.admin.resize(CAPACITY + 1), /this machine was started for 1 to 4/);
    await balancer.admin.reload({ text: text({ count: 2, max: CAPACITY }) });
    assert.equal(await running(), 2);
    const { failed, longLived } = await load.stop();
    assert.deepEqual([failed, longLived.lost], [0, 0]);
    await checkFrames(balancer);
  });

  test("that busy-poll forward, and never sleep", async () => {
    await balancer.stop();
    const polling = await startBalancer(lab, "lb1", { ...config, workers: { count: 1, busyPoll: true } });
    try {
      const { ok, failed } = await requests(lab, 200, {
        urls: [vipUrl(VIP.v4), vipUrl(VIP.v6)],
        concurrency: 4,
      });
      assert.deepEqual([failed, ok >= 200], [0, true]);
      const { workers } = await polling.status();
      assert.deepEqual(
        workers.map(({ parks, traps }) => [parks, traps]),
        [[0, 0]],
      );
      await checkFrames(polling);
    } finally {
      await polling.close();
      balancer = await startBalancer(lab, "lb1", config);
    }
  });

  test("one whose loop stands still is replaced, and flows stay", async (t) => {
    const load = await clients();
    const stopped = await stopWorker(balancer.pid);
    t.after(() => stopped.kill());
    const restarts = async () => (await balancer.status()).workerRestarts;
    assert.equal(await restarts(), 0);
    // Longer than a thread may stand still; it ends as soon as it may go on.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    stopped.kill();
    await eventually("it is replaced", async () => (await restarts()) === 1);
    await eventually("the log says so", () =>
      balancer.log.some(({ msg }) => msg.startsWith("a worker's loop stood still: another thread")),
    );
    await eventually("it is healthy", async () => (await balancer.status()).forwarder.healthy);
    const { ok, longLived } = await load.stop();
    assert.ok(ok > 0);
    assert.equal(longLived.lost, 0);
    await checkFrames(balancer);
  });
});
