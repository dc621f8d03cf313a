// Whether a machine serves, from tables that have slots or not, and interfaces with a program or without.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { healthOf, readinessOf } from "../../src/control/readiness.ts";
import { Rig } from "../engine/rig.ts";

const ATTACHED = [{ name: "eth0", program: "native" }];
const WELL = healthOf([]);
const backends = [1, 2].map((n) => ({ name: `b${n}`, address: `10.0.0.2${n}` }));
const vip = (name: string, last: number, pool: string) => ({
  name,
  address: `10.99.0.${last}`,
  port: 80,
  pool,
});

function rigOf(config: object = {}): Rig {
  const pools = { web: { tableSize: 251, backends }, api: { tableSize: 251, backends: backends.slice(1) } };
  return new Rig({
    conntrack: { flows: 1000 },
    pools,
    vips: [vip("web", 1, "web"), vip("api", 2, "api")],
    ...config,
  });
}

suite("health", () => {
  test("each worker that is stuck is named", () => {
    assert.deepEqual(WELL, { healthy: true, reasons: [] });
    const { healthy, reasons } = healthOf([1, 3]);
    assert.equal(healthy, false);
    assert.deepEqual(
      reasons.map((each) => each.split(" has ")[0]),
      ["worker 1", "worker 3"],
    );
  });
});

suite("readiness", () => {
  test("program attached, tables published, workers well", () => {
    assert.deepEqual(readinessOf(rigOf().engine, ATTACHED, WELL), { ready: true, reasons: [] });
  });

  test("what is not healthy is not ready", () => {
    const health = healthOf([1]);
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
