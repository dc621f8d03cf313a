// What is not balanced: pings to the VIPs, which the balancer answers itself, and the machine's own traffic.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { Lab } from "../../src/lab/lab.ts";
import { type LabClient, startLoad, startServer, startServers, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, eventually, startBalancer } from "./harness.ts";
import { ping, withoutPing } from "./ping.ts";
import { checkCounters, checkFrames, configOf, e2ePrefix, poolOf, requests, VIP } from "./setup.ts";

const OPTIONS = { skip: skipReason(), timeout: 60_000 };
const PORT = 8081;
const PINGS = 20;
/** TTL of a reply (docs/datapath.md §5), less the router. */
const TTL = 63;
const REPLIES = Array(PINGS).fill({ same: true, ttl: TTL, checksums: true });
const REPLIES_V6 = Array(PINGS).fill({ same: true, ttl: undefined, checksums: true });

suite("the balancer's own addresses and echo", OPTIONS, () => {
  let lab: Lab;
  let balancer: Balancer;
  let load: LabClient;

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 2, queues: 2 });
    await startServers(lab);
    await startServer(lab, "lb1", { ports: [PORT] });
    balancer = await startBalancer(lab, "lb1", configOf(lab, { workers: 2, pools: { web: poolOf(lab) } }));
    load = startLoad(lab, { urls: [vipUrl(VIP.v4), vipUrl(VIP.v6)], concurrency: 4, longLived: 4 });
    await eventually(
      "the load reaches the balancer",
      async () => ((await balancer.status()).reasons.new ?? 0) > 100,
    );
  });
  after(async () => {
    await balancer?.close();
    await lab?.down();
  });

  for (const family of ["v4", "v6"] as const) {
    for (const bytes of [0, 56, 1452]) {
      test(`${family}: pings with ${bytes} bytes are answered, byte for byte`, {
        skip: withoutPing,
      }, async () => {
        const before = (await balancer.status()).reasons.echo ?? 0;
        const replies = await ping(lab, "client", VIP[family], PINGS, bytes);
        assert.deepEqual(replies, family === "v4" ? REPLIES : REPLIES_V6);
        const { reasons } = await balancer.status();
        assert.equal((reasons.echo ?? 0) - before, PINGS, "it was the balancer that answered");
      });
    }

    test(`${family}: a server on the balancer's own address is reached by the same interface`, async () => {
      const urls = [vipUrl(lab.address("lb1", family), PORT)];
      const { ok, failed, reasons, backends } = await requests(lab, 200, { urls, concurrency: 4 });
      assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
      assert.deepEqual(backends, { lb1: ok });
    });

    test(`${family}: the balancer's own address is pinged`, { skip: withoutPing }, async () => {
      const replies = await ping(lab, "client", lab.address("lb1", family), PINGS);
      assert.deepEqual(replies, family === "v4" ? REPLIES : REPLIES_V6);
    });

    test(`${family}: the balancer itself is a client`, async () => {
      const { stdout } = await lab.exec("lb1", ["ip", "-json", "route", "get", lab.address("be1", family)]);
      assert.equal((JSON.parse(stdout) as { dev: string }[])[0]!.dev, "eth0");
      const urls = [vipUrl(lab.address("be1", family))];
      const load = startLoad(lab, { urls, concurrency: 2, forMs: 300 }, "lb1");
      const { ok, failed, backends } = await load.summary;
      assert.equal(failed, 0);
      assert.deepEqual(backends, { be1: ok });
    });
  }

  test("all that time the VIPs were served", async () => {
    const { ok, failed, reasons, longLived } = await load.stop();
    assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
    assert.ok(ok > 1000, `${ok} requests`);
    assert.deepEqual([longLived.lost, longLived.moved], [0, 0]);
    await checkFrames(balancer);
    const status = await balancer.status();
    await checkCounters(balancer);
    // The filter passes what is not for a VIP; nothing of it ever reached a worker.
    assert.deepEqual(
      Object.keys(status.reasons).sort(),
      withoutPing ? ["hit", "new", "probe"] : ["echo", "hit", "new", "probe"],
    );
  });
});
