// Whether a machine lives and serves, from workers that run or not, and tables that have slots or not.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Heartbeats, healthOf, readinessOf } from "../../src/control/readiness.ts";
import { Rig } from "../engine/rig.ts";

const ATTACHED = [{ name: "eth0", program: "native" }];
const WELL = { healthy: true, reasons: [] };
const backends = [1, 2].map((n) => ({ name: `b${n}`, address: `10.0.0.2${n}` }));
const vip = (name: string, last: number, pool: string) => ({
  name,
  address: `10.99.0.${last}`,
  port: 80,
  pool,
});

function rigOf(config: object = {}): Rig {
  const pools = { web: { tableSize: 251, backends }, api: { tableSize: 251, backends: backends.slice(1) } };
  return new Rig(
    { conntrack: { flows: 1000 }, pools, vips: [vip("web", 1, "web"), vip("api", 2, "api")], ...config },
    { workers: 2 },
  );
}

suite("health", () => {
  test("workers that make passes are well, however long it takes to ask", () => {
    const rig = rigOf();
    const heartbeats = new Heartbeats(rig.engine);
    for (const nowMs of [0, 1000, 100_000, 1e9]) {
      for (const worker of [0, 1]) rig.run(worker, 1);
      assert.deepEqual(healthOf(heartbeats, nowMs), WELL, `at ${nowMs}`);
    }
  });

  test("a worker that makes none is named after two seconds, until it makes one", () => {
    const rig = rigOf();
    const heartbeats = new Heartbeats(rig.engine);
    const at = (nowMs: number) => {
      rig.run(0, 1);
      return healthOf(heartbeats, nowMs);
    };
    assert.deepEqual(at(10_000), WELL, "nothing is known yet");
    assert.deepEqual(at(11_999), WELL);
    assert.deepEqual(at(12_000), { healthy: false, reasons: ["worker 1 has made no pass for 2.0 s"] });
    assert.deepEqual(at(15_500).reasons, ["worker 1 has made no pass for 5.5 s"]);
    rig.run(1, 1);
    assert.deepEqual(at(15_600), WELL);
    assert.deepEqual(at(17_599), WELL);
    assert.equal(at(17_600).healthy, false);
  });

  test("threads that have nothing to do wake often enough", async (t) => {
    const rig = rigOf();
    const pool = rig.start();
    t.after(() => pool.stop());
    const heartbeats = new Heartbeats(rig.engine);
    healthOf(heartbeats, 0);
    const until = performance.now() + 10_000;
    const seen = () => rig.statistics.workers().map(({ heartbeat }) => heartbeat);
    const before = seen();
    while (seen().some((heartbeat, worker) => heartbeat === before[worker])) {
      assert.ok(performance.now() < until, "both workers make passes");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.deepEqual(healthOf(heartbeats, 1e6), WELL);
  });
});

suite("readiness", () => {
  test("program attached, tables published, workers well", () => {
    assert.deepEqual(readinessOf(rigOf().engine, ATTACHED, WELL), { ready: true, reasons: [] });
  });

  test("what is not healthy is not ready", () => {
    const health = { healthy: false, reasons: ["worker 1 has made no pass for 2.0 s"] };
    assert.deepEqual(readinessOf(rigOf().engine, ATTACHED, health), {
      ready: false,
      reasons: health.reasons,
    });
  });

  test("an interface without the program: before the start, and after the end", () => {
    const interfaces = [...ATTACHED, { name: "eth1", program: undefined }];
    const { ready, reasons } = readinessOf(rigOf().engine, interfaces, WELL);
    assert.deepEqual([ready, reasons], [false, ["no XDP program is attached to eth1"]]);
  });

  test("one pool of several that is empty takes nothing from the others", () => {
    const rig = rigOf();
    const { directory } = rig.engine;
    directory.setBackendState(3, "dead");
    assert.equal(readinessOf(rig.engine, ATTACHED, WELL).ready, true);
    directory.setBackendState(1, "draining");
    directory.setBackendState(2, "dead");
    const { ready, reasons } = readinessOf(rig.engine, ATTACHED, WELL);
    assert.deepEqual([ready, reasons], [false, ["no pool of a VIP has a backend that takes flows"]]);
    directory.setBackendState(1, "active");
    assert.equal(readinessOf(rig.engine, ATTACHED, WELL).ready, true);
  });

  test("without VIPs nothing is served", () => {
    const { reasons } = readinessOf(rigOf({ vips: [] }).engine, ATTACHED, WELL);
    assert.deepEqual(reasons, ["no VIP is configured"]);
  });
});
