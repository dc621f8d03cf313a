// Routes to backends that change while the balancer runs: their packets follow, and nothing is lost on the way.
//
// Backends are on the segment of eth1; the router on that of eth0 knows the way to them, too.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { after, afterEach, before, suite, test } from "node:test";
import { Lab } from "../../src/lab/lab.ts";
import { startServers, vipUrl } from "../../src/lab/traffic.ts";
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
  sentPackets,
  VIP,
} from "./setup.ts";
import { Traffic } from "./traffic.ts";

const URLS = [vipUrl(VIP.v4), vipUrl(VIP.v6)];
/** Routes that are known are not looked up by the poll: what is seen so soon was told. */
const SOON_MS = 1500;

suite("routes to backends", { skip: skipReason(), timeout: 60_000 }, () => {
  let lab: Lab;
  let balancer: Balancer;
  let direct: object;
  let detour: string;

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 2, arms: 2, forward: "gre", queues: 2 });
    await startServers(lab);
    const config = configOf(lab, { workers: 2, pools: { web: poolOf(lab) } });
    balancer = await startBalancer(lab, "lb1", { ...config, interfaces: ["eth0", "eth1"] });
    direct = { dev: "eth1", address: lab.address("be1", "v4"), mac: lab.mac("be1") };
    detour = `${lab.address("be1", "v4")} via ${lab.address("router", "v4")} dev eth0`;
  });
  afterEach(() => route("del", detour).catch(() => {}));
  after(async () => {
    await balancer?.close();
    await lab?.down();
  });

  const route = (action: "add" | "replace" | "del", what: string) =>
    lab.exec("lb1", ["ip", "route", action, ...what.split(" ")]);

  const nextHop = async () => backendOf(await balancer.status(), "be1").nextHop;

  async function goes(hop: object | undefined): Promise<void> {
    let last: object | undefined;
    const same = async () => {
      last = await nextHop();
      return JSON.stringify(last) === JSON.stringify(hop);
    };
    await eventually("its next hop is another one", same, SOON_MS).catch(() => assert.deepEqual(last, hop));
  }

  async function routerHop(): Promise<object> {
    const { stdout } = await lab.exec("router", ["cat", "/sys/class/net/br0/address"]);
    return { dev: "eth0", address: lab.address("router", "v4"), mac: stdout.trim() };
  }

  test("another interface and neighbour, and back: no request fails", async (t) => {
    const traffic = new Traffic(lab);
    t.after(() => traffic.stop());
    await traffic.flows();
    await goes(direct);
    await route("add", detour);
    await goes(await routerHop());
    const before = await sentPackets(lab, "lb1", "eth0");
    await traffic.flows();
    const packets = (await sentPackets(lab, "lb1", "eth0")) - before;
    assert.ok(packets > 100, `${packets} packets by the router`);
    await route("del", detour);
    await goes(direct);
    await traffic.flows();
    traffic.checkUnharmed();
  });

  test("none: its packets are dropped as unresolved, until there is one again", async (t) => {
    const nowhere = `unreachable ${lab.address("be1", "v4")}`;
    t.after(() => route("del", nowhere).catch(() => {}));
    await route("add", nowhere);
    await goes(undefined);
    assert.match(
      String(balancer.log.findLast(({ msg }) => msg.startsWith("backend has no next hop"))?.reason),
      /route get 10\.0\.2\.21" failed: RTNETLINK answers: No route to host/,
    );
    const before = (await balancer.status()).reasons.unresolved ?? 0;
    const alone = await requests(lab, 30, { urls: URLS, concurrency: 20, timeoutMs: 300 });
    assert.deepEqual(Object.keys(alone.backends), ["be2"]);
    assert.ok((await balancer.status()).reasons.unresolved! - before >= alone.failed);
    await route("del", nowhere);
    await goes(direct);
    const { failed, backends } = await requests(lab, 100, { urls: URLS, concurrency: 4, timeoutMs: 1000 });
    assert.deepEqual([failed, Object.keys(backends)], [0, ["be1", "be2"]]);
  });

  /** Process ids of the balancer's `ip monitor`. */
  function monitors(): number[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .filter((name) => {
        try {
          const parent = Number(/\) \w (\d+)/.exec(readFileSync(`/proc/${name}/stat`, "utf8"))?.[1]);
          return (
            parent === balancer.pid && readFileSync(`/proc/${name}/cmdline`, "utf8").startsWith("ip\0monitor")
          );
        } catch {
          return false;
        }
      })
      .map(Number);
  }

  test("what changes while the monitor is dead is not lost", async () => {
    const [monitor, ...others] = monitors();
    assert.deepEqual(others, [], "there is one");
    process.kill(monitor!, "SIGKILL");
    await route("add", detour);
    await goes(await routerHop());
    const [next] = monitors();
    assert.ok(next !== undefined && next !== monitor);
    await route("del", detour);
    await goes(direct);
  });

  test("everything was counted, and every frame is there", async () => {
    await checkFrames(balancer);
    await checkCounters(balancer);
  });
});
