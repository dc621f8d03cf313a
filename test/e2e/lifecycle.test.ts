// The end of a balancer, wanted or not, and what it leaves behind: nothing.

import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { Lab } from "../../src/lab/lab.ts";
import { startLoad, startServer, startServers, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, eventually, newFolder, processesOf, startBalancer } from "./harness.ts";
import {
  checkCounters,
  checkFrames,
  configOf,
  e2ePrefix,
  hasProgram,
  poolOf,
  requests,
  VIP,
} from "./setup.ts";

const OPTIONS = { skip: skipReason(), timeout: 120_000 };
const URLS = [vipUrl(VIP.v4), vipUrl(VIP.v6)];
const PORT = 8081;

suite("the end of a balancer", OPTIONS, () => {
  let lab: Lab;
  let config: object;
  const folder = newFolder();

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 2, queues: 2 });
    config = configOf(lab, { workers: 2, pools: { web: poolOf(lab) } });
    await startServers(lab);
    await startServer(lab, "lb1", { ports: [PORT] });
  });
  after(async () => {
    await lab?.down();
    rmSync(folder, { recursive: true, force: true });
  });

  const start = () => startBalancer(lab, "lb1", config, { folder });

  /** Backends that the balancer's kernel keeps an entry for. */
  async function neighbours(): Promise<string[]> {
    const { stdout } = await lab.exec("lb1", ["ip", "-json", "neigh", "show", "nud", "all", "dev", "eth0"]);
    const backends = lab
      .nodes("backend")
      .flatMap((name) => [lab.address(name, "v4"), lab.address(name, "v6")]);
    return (JSON.parse(stdout) as { dst: string }[])
      .map(({ dst }) => dst)
      .filter((dst) => backends.includes(dst));
  }

  /** AF_XDP sockets of the balancer's namespace. Not every kernel has what `ss --xdp` asks; this one counts them. */
  async function sockets(): Promise<number> {
    const { stdout } = await lab.exec("lb1", ["cat", "/proc/net/protocols"]);
    return Number(/^XDP +\d+ +(\d+)/m.exec(stdout)![1]);
  }

  /** The kernel takes apart what a closed descriptor held a moment later. */
  async function checkDetached(): Promise<void> {
    await eventually("no XDP program is on the interface", async () => !(await hasProgram(lab, "lb1")), 2000);
    await eventually("no AF_XDP socket is open", async () => (await sockets()) === 0, 2000);
  }

  const guideway = () => processesOf(lab, "lb1").filter((command) => !command.includes("/server."));

  /** Both families on the machine's own address, which has nothing to do with VIPs. */
  async function checkHost(): Promise<void> {
    const urls = (["v4", "v6"] as const).map((family) => vipUrl(lab.address("lb1", family), PORT));
    const { ok, failed, backends } = await requests(lab, 100, { urls, concurrency: 2 });
    assert.deepEqual([failed, backends], [0, { lb1: ok }]);
  }

  async function checkServed(): Promise<void> {
    const { failed, reasons, backends } = await requests(lab, 200, { urls: URLS, concurrency: 4 });
    assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
    assert.deepEqual(Object.keys(backends), ["be1", "be2"]);
  }

  test("while it runs it is all there", async (t) => {
    const balancer = await start();
    t.after(() => balancer.stop());
    assert.ok(await hasProgram(lab, "lb1"));
    assert.equal(statSync(balancer.socket).mode & 0o777, 0o600);
    assert.deepEqual((await neighbours()).sort(), ["10.0.0.21", "10.0.0.22"]);
    assert.equal(await sockets(), 4, "a socket for each of two workers on each of two queues");
    assert.ok(guideway().length > 0);
  });

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    test(`${signal} under load ends it with 0, and nothing is left`, async (t) => {
      const balancer = await start();
      t.after(() => balancer.stop());
      const load = startLoad(lab, { urls: URLS, concurrency: 8, longLived: 8, timeoutMs: 500 });
      await eventually("the load reaches it", async () => ((await balancer.status()).reasons.new ?? 0) > 100);
      const { code, signal: by, log } = await balancer.stop(signal);
      assert.deepEqual([code, by], [0, null]);
      assert.deepEqual(
        log.filter(({ level }) => level >= 40),
        [],
      );
      assert.equal(balancer.logged("stopping")?.by, signal);
      assert.equal(log.at(-1)?.msg, "stopped");
      await checkDetached();
      assert.deepEqual(await neighbours(), []);
      assert.deepEqual(guideway(), []);
      assert.equal(existsSync(balancer.socket), false);
      await load.stop();
      await checkHost();
    });
  }

  suite("killed", () => {
    let killed: Balancer;

    before(async () => {
      killed = await start();
      const load = startLoad(lab, { urls: URLS, concurrency: 8, timeoutMs: 500 });
      await eventually("the load reaches it", async () => ((await killed.status()).reasons.new ?? 0) > 100);
      await killed.kill9();
      await load.stop();
    });
    after(() => killed?.stop());

    test("the kernel takes program and sockets away, and the interface works", async () => {
      await checkDetached();
      await checkHost();
      assert.ok(existsSync(killed.socket), "its admin socket is still there");
    });

    test("the next one takes over its interface and its admin socket", async (t) => {
      const next = await start();
      t.after(() => next.stop());
      assert.equal(next.socket, killed.socket);
      await checkServed();
      const status = await next.status();
      assert.equal(status.pid, next.pid);
      await checkCounters(next);
      await checkFrames(next);
      assert.equal((await next.stop()).code, 0);
      // What watched the neighbours for the killed one ends at the next change at the latest.
      await eventually("no process is left", () => guideway().length === 0);
    });
  });

  test("a second one on the same interface is refused, and the first goes on", async (t) => {
    const first = await start();
    t.after(() => first.stop());
    const second = newFolder();
    t.after(() => rmSync(second, { recursive: true, force: true }));
    await assert.rejects(startBalancer(lab, "lb1", config, { folder: second }), ({ message }: Error) => {
      assert.match(message, /ended with 1[\s\S]*another socket has this queue/);
      assert.doesNotMatch(message, /"msg":" +at /, "no stack for what an operator can do something about");
      return true;
    });
    assert.ok(await hasProgram(lab, "lb1"));
    await checkServed();
    await checkFrames(first);
  });

  test("a second one on the same admin socket is refused, and the first goes on", async (t) => {
    const first = await start();
    t.after(() => first.stop());
    await assert.rejects(
      startBalancer(lab, "lb1", { ...config, interfaces: ["lo"] }, { folder }),
      /another guideway answers/,
    );
    assert.equal((await first.status()).pid, first.pid);
    await checkServed();
  });

  test("a file where the admin socket should be is left alone", async () => {
    const file = join(folder, "admin.sock");
    writeFileSync(file, "precious");
    try {
      await assert.rejects(startBalancer(lab, "lb1", config, { folder }), /ended with 1[\s\S]*is no socket/);
      assert.equal(readFileSync(file, "utf8"), "precious");
      assert.equal(await hasProgram(lab, "lb1"), false);
    } finally {
      rmSync(file, { force: true });
    }
  });

  test("a neighbour that an operator has entered is used, and stays", async (t) => {
    const entry = [lab.address("be2", "v4"), "dev", "eth0"];
    await lab.exec("lb1", ["ip", "neigh", "replace", ...entry, "lladdr", lab.mac("be2"), "nud", "permanent"]);
    t.after(() => lab.exec("lb1", ["ip", "neigh", "del", ...entry]));
    const balancer = await start();
    t.after(() => balancer.stop());
    await checkServed();
    await balancer.stop();
    assert.deepEqual(await neighbours(), [lab.address("be2", "v4")]);
  });
});
