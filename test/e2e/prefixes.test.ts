// VIPs of a prefix and of ranges of ports, with real clients and servers: every address and port of them, the more specific one
// first, checks through the tunnel, and bounds that change under load.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { stringify } from "yaml";
import type { Overview } from "../../src/control/overview.ts";
import { Lab } from "../../src/lab/lab.ts";
import { startLoad, startServers, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, eventually, startBalancer } from "./harness.ts";
import { ping, withoutPing } from "./ping.ts";
import { checkCounters, checkFrames, configOf, e2ePrefix, requests } from "./setup.ts";

const OPTIONS = { skip: skipReason(), timeout: 60_000 };
const PORTS = [80, 81, 8000, 8001, 8050, 8099, 8150];
const PREFIX = { v4: "10.99.0.0/24", v6: "fd99::/64" };
/** In the prefixes, their first and last ones among them. */
const ADDRESSES = [
  "10.99.0.0",
  "10.99.0.1",
  "10.99.0.200",
  "10.99.0.255",
  "fd99::",
  "fd99::1",
  "fd99::ffff:0:0:1",
];
const OWN = { v4: "10.99.0.7", v6: "fd99::7" };
const CHECK = {
  type: "http",
  via: "tunnel",
  port: 80,
  interval: "200ms",
  timeout: "150ms",
  rise: 2,
  fall: 2,
};

suite("VIPs of a prefix", OPTIONS, () => {
  let lab: Lab;
  let balancer: Balancer;

  const document = (range: string): object => {
    const pool = (family: "v4" | "v6", ...names: string[]) => ({
      backends: names.map((name) => ({ name, address: lab.address(name, family) })),
    });
    const vip = (name: string, address: string, port: unknown, pool: string) => ({
      ...{ name, address, port, pool, forward: "gre" },
    });
    return {
      ...configOf(lab, { workers: 2 }),
      pools: {
        web4: { ...pool("v4", "be1", "be2"), health: CHECK },
        web6: { ...pool("v6", "be1", "be2"), health: CHECK },
        own: pool("v4", "be3"),
      },
      vips: [
        vip("net4", PREFIX.v4, [80, range], "web4"),
        vip("net6", PREFIX.v6, [80, range], "web6"),
        // Where a check of net4 would go if nobody looked.
        vip("second", "10.99.0.1", 81, "own"),
        vip("own4", OWN.v4, 8001, "own"),
        vip("own6", OWN.v6, 0, "own"),
      ],
    };
  };

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 3, forward: "gre", vips: Object.values(PREFIX) });
    await startServers(lab, { ports: PORTS });
    balancer = await startBalancer(lab, "lb1", document("8000-8099"));
  });
  after(async () => {
    await balancer?.close();
    await lab?.down();
  });

  /** Which backends answer. */
  const answering = async (addresses: string[], ports: number[], count = 200) => {
    const urls = addresses.flatMap((address) => ports.map((port) => vipUrl(address, port)));
    const { failed, reasons, backends } = await requests(lab, count, { urls, concurrency: 8 });
    assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
    return Object.keys(backends).sort();
  };

  test("every address, and every port of the list and the range", async () => {
    assert.deepEqual(await answering(ADDRESSES, [80, 8000, 8050, 8099], 600), ["be1", "be2"]);
  });

  test("the more specific VIP takes what it has, and nothing else", async () => {
    assert.deepEqual(await answering([OWN.v4], [8001]), ["be3"]);
    assert.deepEqual(await answering([OWN.v4], [80, 8000]), ["be1", "be2"]);
    assert.deepEqual(await answering([OWN.v6], [80, 81, 8001]), ["be3"]);
    assert.deepEqual(await answering(["10.99.0.1"], [81]), ["be3"]);
  });

  test("every address answers pings", { skip: withoutPing }, async () => {
    for (const address of [...ADDRESSES, OWN.v4]) {
      const replies = await ping(lab, "client", address, 1);
      assert.deepEqual(
        replies.map(({ same }) => same),
        [true],
        address,
      );
    }
  });

  test("backends are checked through the tunnel by an address of the prefix", async () => {
    await eventually("all are up, and were checked several times", async () => {
      const { pools } = (await balancer.status()) as Overview;
      const checked = pools.filter(({ name }) => name !== "own").flatMap(({ backends }) => backends);
      return checked.every(({ health }) => health?.state === "up" && health.checks >= 4);
    });
    const { forwarder } = await balancer.status();
    assert.deepEqual([forwarder.healthy, forwarder.reasons], [true, []]);
  });

  test("the bounds of a range change under load: no flow moves, and new ports are served", async () => {
    const urls = ADDRESSES.map((address) => vipUrl(address, 8050));
    let begin = () => {};
    const begun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const load = startLoad(lab, {
      urls,
      concurrency: 4,
      longLived: 12,
      longLivedIntervalMs: 20,
      intervalMs: 50,
      onReport: ({ longLived }) => longLived.open === 12 && begin(),
    });
    await begun;
    const { socket, folder, file } = balancer;
    const own = { admin: { socket }, change: { state: join(folder, "state") } };
    await balancer.admin.reload({ text: stringify({ ...document("8000-8199"), ...own }), file });
    assert.deepEqual(await answering(ADDRESSES, [8150]), ["be1", "be2"]);
    const { failed, reasons, longLived } = await load.stop();
    assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
    const { open, lost, moved } = longLived;
    assert.deepEqual({ open, lost, moved }, { open: 12, lost: 0, moved: 0 });
  });

  test("every packet is counted, and every frame is back", async () => {
    await checkCounters(balancer);
    await checkFrames(balancer);
    const { vips } = await balancer.status();
    for (const { name, packets } of vips) assert.ok(packets > 0, name);
    assert.deepEqual(vips[0]!.ports, [80, "8000-8199"]);
  });
});
