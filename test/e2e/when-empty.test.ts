// Pools all of whose backends are down: with `withdraw` their packets are dropped for a reason, with `open` they go on.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { Lab } from "../../src/lab/lab.ts";
import { startServer, startServers, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, eventually, startBalancer } from "./harness.ts";
import { checkCounters, checkFrames, configOf, e2ePrefix, poolOf, requests, VIP } from "./setup.ts";

const OPTIONS = { skip: skipReason(), timeout: 60_000 };
/** Where the checks ask, and nobody answers at first. */
const HEALTH_PORT = 9000;
const HEALTH = { type: "http", path: "/healthz", port: HEALTH_PORT, interval: "200ms", fall: 2, rise: 2 };
/** Their VIPs' ports. */
const PORTS = { withdraw: 8081, open: 8082 };

suite("pools that are all down", OPTIONS, () => {
  let lab: Lab;
  let balancer: Balancer;

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 2, queues: 1 });
    await startServers(lab, { ports: Object.values(PORTS) });
    const pools = Object.entries(PORTS).map(([whenEmpty]) => [
      whenEmpty,
      { ...poolOf(lab), tableSize: 251, whenEmpty, health: HEALTH },
    ]);
    const vips = Object.entries(PORTS).map(([pool, port]) => ({
      name: pool,
      address: VIP.v4,
      protocol: "tcp",
      port,
      pool,
    }));
    const config = { ...configOf(lab, { workers: 2 }), pools: Object.fromEntries(pools), vips };
    balancer = await startBalancer(lab, "lb1", config);
  });
  after(async () => {
    await balancer?.close();
    await lab?.down();
  });

  /** What the machine says of a pool and of its VIP. */
  async function told(name: keyof typeof PORTS) {
    const { pools, vips } = await balancer.status();
    const { usable, open, backends } = pools.find((each) => each.name === name)!;
    const vip = vips.find((each) => each.name === name)!;
    return { usable, open, vip: vip.usable, states: backends.map(({ state }) => state) };
  }

  const ask = (pool: keyof typeof PORTS, count: number) =>
    requests(lab, count, { urls: [vipUrl(VIP.v4, PORTS[pool])], concurrency: 4, timeoutMs: 300 });

  test("withdraw: no backend is usable, and packets are dropped as no-backend", async () => {
    await eventually("both are dead", async () => (await told("withdraw")).states.join() === "dead,dead");
    assert.deepEqual(await told("withdraw"), {
      usable: false,
      open: false,
      vip: false,
      states: ["dead", "dead"],
    });
    const before = (await balancer.status()).reasons["no-backend"] ?? 0;
    const { ok, failed, reasons } = await ask("withdraw", 12);
    assert.deepEqual([ok, reasons], [0, { "connect-timeout": failed }]);
    const dropped = ((await balancer.status()).reasons["no-backend"] ?? 0) - before;
    // A SYN is sent again after a second at the earliest: by then the client has given up.
    assert.equal(dropped, failed);
  });

  test("open: all count as up, and their packets go on", async () => {
    assert.deepEqual(await told("open"), {
      usable: true,
      open: true,
      vip: true,
      states: ["active", "active"],
    });
    const { failed, reasons, backends } = await ask("open", 200);
    assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
    assert.deepEqual(Object.keys(backends), ["be1", "be2"]);
    assert.ok(balancer.logged("all backends are down: all of them get packets (whenEmpty: open)"));
  });

  test("with one that is up again both serve by it alone", async () => {
    const one = await startServer(lab, "be1", { ports: [HEALTH_PORT] });
    await eventually("it is found up", async () => {
      const pools = await Promise.all([told("withdraw"), told("open")]);
      return pools.every(({ states }) => states.join() === "active,dead");
    });
    for (const pool of ["withdraw", "open"] as const) {
      const { usable, open, vip } = await told(pool);
      assert.deepEqual({ usable, open, vip }, { usable: true, open: false, vip: true });
      const { ok, failed, backends } = await ask(pool, 100);
      assert.deepEqual([failed, backends], [0, { be1: ok }]);
    }
    await one.stop("SIGKILL");
    await eventually("both are dead again", async () => !(await told("withdraw")).usable);
    await eventually("all count as up again", async () => (await told("open")).open);
    assert.deepEqual(Object.keys((await ask("open", 200)).backends), ["be1", "be2"]);
    await checkFrames(balancer);
    await checkCounters(balancer);
  });
});
