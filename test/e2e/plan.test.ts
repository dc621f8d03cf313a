// `plan --live`: what a change would do to the connections of a running machine.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { stringify } from "yaml";
import { Lab } from "../../src/lab/lab.ts";
import { type LabClient, startLoad, startServers, vipUrl } from "../../src/lab/traffic.ts";
import type { Plan, VipPlan } from "../../src/plan/plan.ts";
import type { ConnectionPlan } from "../../src/plan/pools.ts";
import { guideway } from "../commands/guideway.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, eventually, startBalancer } from "./harness.ts";
import { backendOf, configOf, e2ePrefix, poolOf, VIP } from "./setup.ts";

const CONNECTIONS = 30;

interface LivePlan extends Plan {
  vips: (VipPlan & { connectionsMoved: number })[];
  connections: Omit<ConnectionPlan, "vips">;
}

suite("plan --live", { skip: skipReason(), timeout: 60_000 }, () => {
  let lab: Lab;
  let balancer: Balancer;
  let held: LabClient;

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 3, queues: 1 });
    await startServers(lab);
    balancer = await startBalancer(lab, "lb1", configOf(lab, { pools: { web: poolOf(lab) } }));
    held = startLoad(lab, { urls: [vipUrl(VIP.v4)], concurrency: 0, longLived: CONNECTIONS, intervalMs: 50 });
    await eventually("all connections are open", async () => {
      const flows = await Promise.all(lab.nodes("backend").map(active));
      return flows.reduce((a, b) => a + b, 0) === CONNECTIONS;
    });
  });
  after(async () => {
    await held?.stop();
    await balancer?.close();
    await lab?.down();
  });

  const active = async (name: string) => backendOf(await balancer.status(), name).activeFlows;

  /** Plans a machine with these backends, and otherwise what runs. */
  function plan(names: string[], ...args: string[]) {
    const { backends } = poolOf(lab);
    const pools = { web: { backends: backends.filter(({ name }) => names.includes(name)) } };
    const config = {
      ...configOf(lab, { pools }),
      admin: { socket: balancer.socket },
      change: { state: join(balancer.folder, "state") },
    };
    const file = join(balancer.folder, "next.yaml");
    writeFileSync(file, stringify(config));
    return guideway(["plan", "--live", "--socket", balancer.socket, file, ...args]);
  }

  function planJson(...names: string[]): LivePlan {
    const { status, stdout, stderr } = plan(names, "--json");
    assert.deepEqual([status, stderr], [0, ""]);
    return JSON.parse(stdout) as LivePlan;
  }

  test("what runs is what is compared: nothing changes, nothing moves", () => {
    const { moved, changes, connections } = planJson("be1", "be2", "be3");
    assert.deepEqual([moved, changes], [0, []]);
    assert.deepEqual(connections, { present: CONNECTIONS, moved: 0, backends: [] });
  });

  test("a backend that goes takes its connections along, and no others", async () => {
    const flows = await active("be2");
    assert.ok(flows > 0);
    const { vips, connections } = planJson("be1", "be3");
    assert.deepEqual(connections, {
      present: CONNECTIONS,
      moved: flows / CONNECTIONS,
      backends: [{ pool: "web", backend: "be2", connections: flows }],
    });
    // Connections are counted by backend, not by VIP: both that use the pool show its part.
    assert.deepEqual(
      vips.map(({ connectionsMoved }) => connectionsMoved),
      [flows / CONNECTIONS, flows / CONNECTIONS],
    );
    const refused = plan(["be1", "be3"], "--max-moved", "0%");
    assert.equal(refused.status, 1);
    assert.match(refused.stdout, /CONNECTIONS MOVED\n/);
    assert.match(refused.stdout, /\n {2}web +be2 +\d+\n/);
    assert.match(refused.stderr, /VIP web: .*% of slots, .*% of flows, .*% of connections\n/);
  });

  test("backends that take no flows now take none afterwards", async () => {
    await balancer.setBackendState("web", "be3", "draining");
    const { vips, connections } = planJson("be1", "be2", "be3");
    assert.deepEqual([vips[0]!.change, vips[0]!.shares.be3], ["same", 0]);
    assert.deepEqual([connections.present, connections.moved], [CONNECTIONS, 0]);
    await balancer.setBackendState("web", "be3", "active");
  });

  test("a bad configuration is refused", () => {
    const file = join(balancer.folder, "bad.yaml");
    writeFileSync(file, "pools: {}\n");
    const { status, stderr } = guideway(["plan", "--live", "--socket", balancer.socket, file]);
    assert.equal(status, 2);
    assert.match(stderr, /bad\.yaml:1:1: vips: is missing/);
  });
});
