// Backends that come and go under load: whose connections break, and whose must not.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, suite, test } from "node:test";
import { Lab } from "../../src/lab/lab.ts";
import type { LoadReport } from "../../src/lab/load.ts";
import { type LabClient, startLoad, startServers, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, eventually, startBalancer } from "./harness.ts";
import {
  backendOf,
  checkCounters,
  checkFrames,
  configOf,
  e2ePrefix,
  poolOf,
  requests,
  VIP,
} from "./setup.ts";

const OPTIONS = { skip: skipReason(), timeout: 120_000 };
const URLS = [vipUrl(VIP.v4), vipUrl(VIP.v6)];
const LONG_LIVED = 40;
const ASK_MS = 25;

suite("backends that come and go", OPTIONS, () => {
  let lab: Lab;
  let balancer: Balancer;

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 4, queues: 2 });
    await startServers(lab);
  });
  after(() => lab?.down());

  /** Requests on new connections only. */
  const fresh = (count: number) => requests(lab, count, { urls: URLS, concurrency: 4, timeoutMs: 1000 });

  suite("taken out and back by the controller", () => {
    let held: LabClient;
    let last: LoadReport | undefined;
    /** Counts of the long-lived connections since the start. */
    const lost = { lost: 0, moved: 0, failed: 0 };

    before(async () => {
      // What a backend resets looks open to the balancer, which does not see that: such entries are to go soon.
      const options = { workers: 2, pools: { web: poolOf(lab) }, timeouts: { new: "1s" } };
      balancer = await startBalancer(lab, "lb1", configOf(lab, options));
      held = startLoad(lab, {
        urls: URLS,
        concurrency: 0,
        longLived: LONG_LIVED,
        longLivedIntervalMs: ASK_MS,
        intervalMs: 50,
        timeoutMs: 1000,
        onReport: (report) => {
          last = report;
          for (const key of ["lost", "moved", "failed"] as const) lost[key] += report.longLived[key];
        },
      });
      await settled();
    });
    after(() => balancer?.close());

    /** Flows that the balancer holds as active, by backend. */
    async function active(): Promise<Record<string, number>> {
      const status = await balancer.status();
      const counts = lab.nodes("backend").map((name) => [name, backendOf(status, name).activeFlows]);
      return Object.fromEntries(counts);
    }

    const total = (counts: Record<string, number>) => Object.values(counts).reduce((a, b) => a + b, 0);

    /** Waits until every long-lived connection is open and known to the balancer. */
    async function settled(): Promise<Record<string, number>> {
      await eventually("all long-lived connections are open", async () => {
        return last?.longLived.open === LONG_LIVED && total(await active()) === LONG_LIVED;
      });
      return active();
    }

    test("the balancer knows which connections there are", async () => {
      const flows = await settled();
      assert.equal(total(flows), LONG_LIVED);
      assert.deepEqual(lost, { lost: 0, moved: 0, failed: 0 });
      assert.ok(flows.be1! > 0 && flows.be2! > 0, JSON.stringify(flows));
    });

    test("dead: its connections end, no other does, and new ones avoid it", async () => {
      const { be1: doomed, ...others } = await settled();
      await balancer.setBackendState("web", "be1", "dead");
      const { failed, reasons, backends } = await fresh(300);
      assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
      assert.deepEqual(Object.keys(backends), ["be2", "be3", "be4"]);
      const now = await settled();
      assert.deepEqual([lost.lost, lost.moved], [doomed, 0]);
      // One that ends between two requests fails none: its next one begins a new connection.
      assert.ok(lost.failed <= doomed!, `${lost.failed} requests failed`);
      assert.equal(now.be1, 0);
      for (const [name, before] of Object.entries(others)) assert.ok(now[name]! >= before, name);
      const status = backendOf(await balancer.status(), "be1");
      assert.deepEqual([status.state, status.share], ["dead", 0]);
    });

    test("active again: new connections reach it, and none that there are moves", async () => {
      const before = { ...lost };
      const flows = await settled();
      await balancer.setBackendState("web", "be1", "active");
      const { failed, reasons, backends } = await fresh(300);
      assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
      assert.deepEqual(Object.keys(backends), ["be1", "be2", "be3", "be4"]);
      assert.deepEqual(await settled(), flows);
      assert.deepEqual(lost, before);
    });

    test("draining: it keeps its connections and gets no new ones", async () => {
      const before = { ...lost };
      const flows = await settled();
      await balancer.setBackendState("web", "be2", "draining");
      const { newFlows, packets } = backendOf(await balancer.status(), "be2");
      const { failed, backends } = await fresh(300);
      assert.equal(failed, 0);
      assert.deepEqual(Object.keys(backends), ["be1", "be3", "be4"]);
      await eventually("its connections are used", async () => {
        return backendOf(await balancer.status(), "be2").packets > packets + flows.be2! * 2;
      });
      assert.deepEqual(await settled(), flows);
      assert.deepEqual(lost, before);
      assert.equal(backendOf(await balancer.status(), "be2").newFlows, newFlows);
      await balancer.setBackendState("web", "be2", "active");
      assert.deepEqual(Object.keys((await fresh(300)).backends), ["be1", "be2", "be3", "be4"]);
      assert.deepEqual(lost, before);
    });

    test("flapping under load: no connection to another backend breaks", async () => {
      const flows = await settled();
      const before = { ...lost };
      for (let i = 0; i < 50; i++) {
        await balancer.setBackendState("web", "be3", i % 2 === 0 ? "draining" : "active");
      }
      assert.deepEqual(await settled(), flows);
      assert.deepEqual(lost, before);
    });

    test("all connections end when they are closed, and everything was counted", async () => {
      const { failed, longLived } = await held.stop();
      assert.deepEqual([failed, longLived.moved], [lost.failed, 0]);
      await eventually("no flow is active", async () => total(await active()) === 0);
      await checkFrames(balancer);
      await checkCounters(balancer);
    });
  });

  suite("the network decides", () => {
    const missing = { name: "be5", address: "10.0.0.25" };

    beforeEach(async () => {
      const { backends } = poolOf(lab);
      const pools = { web: { backends: [...backends.slice(0, 3), missing] } };
      balancer = await startBalancer(lab, "lb1", configOf(lab, { workers: 2, pools }));
    });
    afterEach(() => balancer?.close());

    test("a backend that is not there is dropped as unresolved, until it appears", async () => {
      assert.deepEqual(backendOf(await balancer.status(), "be5").nextHop, {
        dev: "eth0",
        address: missing.address,
      });
      const alone = await requests(lab, 30, { urls: URLS, concurrency: 20, timeoutMs: 300 });
      assert.deepEqual(Object.keys(alone.backends), ["be1", "be2", "be3"]);
      assert.deepEqual(Object.keys(alone.reasons), ["connect-timeout"], "its share fails and nothing else");
      const { reasons } = await balancer.status();
      assert.ok(reasons.unresolved! >= alone.failed);
      const expected = alone.failed / (alone.ok + alone.failed);
      assert.ok(expected > 0.05 && expected < 0.6, `${expected} of the requests failed`);

      await lab.exec("be4", ["ip", "address", "add", `${missing.address}/24`, "dev", "eth0"]);
      await eventually(
        "the kernel has found it",
        async () => backendOf(await balancer.status(), "be5").nextHop?.mac === lab.mac("be4"),
        20_000,
      );
      const all = await fresh(300);
      assert.deepEqual([all.failed, Object.keys(all.backends)], [0, ["be1", "be2", "be3", "be4"]]);
      await lab.exec("be4", ["ip", "address", "del", `${missing.address}/24`, "dev", "eth0"]);
      await checkFrames(balancer);
      await checkCounters(balancer);
    });

    test("a backend's new MAC address is followed", async () => {
      const mac = "02:00:00:00:ff:21";
      // The machine is exchanged: it announces itself (arp_notify), and the switch sees it at the same port.
      await lab.exec("be1", ["sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/eth0/arp_notify"]);
      await lab.exec("router", ["bridge", "fdb", "replace", mac, "dev", "p-be1", "master", "static"]);
      assert.equal(backendOf(await balancer.status(), "be1").nextHop?.mac, lab.mac("be1"));
      await lab.exec("be1", ["ip", "link", "set", "dev", "eth0", "address", mac]);
      await eventually("the next hop changed", async () => {
        return backendOf(await balancer.status(), "be1").nextHop?.mac === mac;
      });
      await balancer.setBackendState("web", "be5", "dead");
      const { failed, reasons, backends } = await fresh(300);
      assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
      assert.deepEqual(Object.keys(backends), ["be1", "be2", "be3"]);
    });
  });
});
