// A balancer that cannot serve is withdrawn on the router within the time that follows from its configuration, and comes back
// when it can again. Each time is measured at the router's kernel, and printed.

import assert from "node:assert/strict";
import { after, before, suite, type TestContext, test } from "node:test";
import * as L from "../../assembly/layout.ts";
import { type LabServer, startServer, vipUrl } from "../../src/lab/traffic.ts";
import { guardsOf, isReady } from "../announce/guards.ts";
import { bgpSkipReason } from "../lab/bgp.ts";
import { AnnouncedLab, CHANGE_MS, GUARD_MS, SESSION_MS } from "./announced-lab.ts";
import { ForeignArena } from "./arena.ts";
import { type Balancer, eventually, newFolder, startBalancer } from "./harness.ts";
import { poolOf, VIP } from "./setup.ts";
import { Traffic } from "./traffic.ts";
import { stopWorker } from "./worker-thread.ts";

const FORWARDER = { interval: 250, timeout: 250, rise: 2, fall: 2 };
const CHECK = { interval: 200, timeout: 100, rise: 2, fall: 2 };
/** The first failed test is sent an interval after the failure at the latest. */
const WORKER_MS = FORWARDER.interval + FORWARDER.timeout + (FORWARDER.fall - 1) * FORWARDER.interval;
/** Everything that this small machine has published is compared in each round. */
const TABLE_MS = FORWARDER.interval;
/** One round may have begun before all was well. */
const RISE_MS = (FORWARDER.rise + 1) * FORWARDER.interval;
/** Between two looks whether a draining pool has flows. */
const LOOK_MS = 500;
/** BFD: 50 ms × 3. */
const BFD_MS = 150;
/** Checks start a tenth of the interval early or late. */
const FALL_MS = CHECK.fall * CHECK.interval * 1.1 + CHECK.timeout;
const UP_MS = CHECK.rise * CHECK.interval * 1.1 + CHECK.timeout;

suite("withdrawal", { skip: bgpSkipReason(), timeout: 120_000 }, () => {
  const folder = newFolder();
  const servers: LabServer[] = [];
  let bed: AnnouncedLab;
  let balancer: Balancer;

  before(async () => {
    bed = await AnnouncedLab.up({ balancers: 1, backends: 2 });
    const { lab } = bed;
    // As whatever configures a machine's network would have it: addresses and routes are there again with the link.
    await lab.exec("lb1", ["sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/eth0/keep_addr_on_down"]);
    for (const node of lab.nodes("backend")) servers.push(await startServer(lab, node));
    await start();
    await bed.sends({ diagnostic() {} } as unknown as TestContext, "started", ["lb1"]);
  });
  after(async () => {
    try {
      await balancer?.close();
    } finally {
      await bed?.down();
    }
  });

  /** IPv4 goes with its backends, IPv6 stays whatever happens to them. */
  function config(): object {
    const { lab } = bed;
    const health = {
      type: "http",
      path: "/healthz",
      ...CHECK,
      interval: `${CHECK.interval}ms`,
      timeout: `${CHECK.timeout}ms`,
    };
    const vip = (name: keyof typeof VIP) => ({
      name,
      address: VIP[name],
      protocol: "tcp",
      port: 80,
      pool: name,
    });
    return {
      machine: { name: "lb1", address: lab.address("lb1", "v4"), address6: lab.address("lb1", "v6") },
      interfaces: ["eth0"],
      workers: { count: 2 },
      // What a killed backend resets looks open here: such flows are to go soon.
      conntrack: { flows: 100_000, timeouts: { new: "1s", established: "2s" } },
      forwarder: { ...FORWARDER, interval: `${FORWARDER.interval}ms`, timeout: `${FORWARDER.timeout}ms` },
      pools: {
        v4: { ...poolOf(lab), whenEmpty: "withdraw", health },
        v6: { ...poolOf(lab), whenEmpty: "open", health },
      },
      vips: [vip("v4"), vip("v6")],
      announce: { gobgp: bed.speakers.lb1!.target, drain: "200ms" },
    };
  }

  async function start(): Promise<void> {
    balancer = await startBalancer(bed.lab, "lb1", config(), { folder });
    await eventually("its guard is ready", () => guardsOf(balancer.pid).some(isReady));
  }

  /** Clients that are served until the end of a test, as they were at its beginning, whatever happens in between. */
  async function clients(t: TestContext): Promise<Traffic> {
    const traffic = new Traffic(bed.lab);
    t.after(() => traffic.stop());
    await traffic.flows();
    traffic.checkUnharmed();
    return traffic;
  }

  test("a worker's loop that stands still", async (t) => {
    const traffic = await clients(t);
    let stopped: Awaited<ReturnType<typeof stopWorker>> | undefined;
    t.after(() => stopped?.kill());
    const stop = async () => {
      stopped = await stopWorker(balancer.pid);
    };
    await bed.sends(t, "a worker stopped", [], stop, { limitMs: WORKER_MS + CHANGE_MS });
    const { forwarder, announcement } = await balancer.status();
    assert.match(forwarder.reasons.join(), /worker \d/);
    assert.deepEqual([announcement.wanted, announcement.announced], [[], []]);
    await bed.sends(t, "it goes on", ["lb1"], () => stopped!.kill(), { limitMs: RISE_MS + CHANGE_MS });
    await traffic.flows();
  });

  test("a table entry that is damaged", async (t) => {
    const traffic = await clients(t);
    const arena = new ForeignArena(balancer.pid);
    t.after(() => arena.close());
    const slot = arena.firstTable() + L.TABLE_SLOTS + 4 * 1000;
    const before = arena.word(slot);
    const damage = () => arena.setWord(slot, 0xffffffff);
    const sinceMs = performance.now();
    await bed.sends(t, "a table damaged", [], damage, { limitMs: TABLE_MS + CHANGE_MS });
    const back = { sinceMs, limitMs: TABLE_MS + RISE_MS + CHANGE_MS };
    await bed.sends(t, "repaired, from the damage on", ["lb1"], () => {}, back);
    assert.equal(arena.word(arena.firstTable() + L.TABLE_SLOTS + 4 * 1000), before);
    assert.deepEqual((await balancer.status()).forwarder.tables.repaired, 1);
    await traffic.flows();
  });

  test("a link that is down", async (t) => {
    const { lab } = bed;
    const traffic = await clients(t);
    const up = async () => {
      await lab.exec("lb1", ["ip", "link", "set", "dev", "eth0", "up"]);
      await lab.exec("lb1", ["ip", "route", "replace", "default", "via", lab.address("router", "v4")]);
      await lab.exec("lb1", ["ip", "-6", "route", "replace", "default", "via", lab.address("router", "v6")]);
    };
    t.after(up);
    const down = () => lab.exec("lb1", ["ip", "link", "set", "dev", "eth0", "down"]);
    await bed.sends(t, "the link down", [], down, { limitMs: BFD_MS + CHANGE_MS });
    await eventually("it knows", async () => !(await balancer.status()).forwarder.healthy);
    const { forwarder, announcement } = await balancer.status();
    assert.deepEqual(forwarder.reasons, ["interface eth0: its link is down"]);
    assert.deepEqual(announcement.wanted, []);
    await bed.sends(t, "the link up", ["lb1"], up, { limitMs: RISE_MS + SESSION_MS });
    await traffic.flows();
    // All neighbour entries went with the link: those of the backends must be kept fresh again.
    await eventually("backends' neighbour entries are managed", async () => {
      const { stdout } = await lab.exec("lb1", ["ip", "-json", "neigh", "show", "dev", "eth0"]);
      const managed = (JSON.parse(stdout) as { dst: string; managed?: null }[])
        .filter(({ managed }) => managed === null)
        .map(({ dst }) => dst);
      return lab.nodes("backend").every((node) => managed.includes(lab.address(node, "v4")));
    });
    await bed.router.established(["lb1"]);
  });

  test("a process that is killed", async (t) => {
    const traffic = await clients(t);
    await bed.sends(t, "guideway killed", [], () => balancer.kill9(), { limitMs: GUARD_MS });
    await bed.sends(t, "guideway started", ["lb1"], start, { limitMs: 10_000 });
    await traffic.flows();
  });

  test("backends that are all down, and a pool that is open then", async (t) => {
    const traffic = await clients(t);
    const prefixes = [`${VIP.v4}/32`];
    const stop = () => Promise.all(servers.map((server) => server.stop("SIGKILL")));
    await bed.sends(t, "all backends down", [], stop, { prefixes, limitMs: FALL_MS + CHANGE_MS });
    const { vips } = await balancer.status();
    assert.deepEqual(
      vips.map(({ name, usable, announced }) => [name, usable, announced]),
      [
        ["v4", false, false],
        ["v6", true, true],
      ],
    );
    assert.deepEqual(await bed.routes.hops(`${VIP.v6}/128`), [bed.lab.address("lb1", "v6")]);
    const restart = async () => {
      for (const [i, { node }] of servers.entries()) servers[i] = await startServer(bed.lab, node);
    };
    // A server takes up to a second to start.
    await bed.sends(t, "backends up", ["lb1"], restart, { prefixes, limitMs: 2000 + UP_MS + CHANGE_MS });
    await traffic.flows();
  });

  test("a pool that is drained: when its last flow has ended, and only if that is meant", async (t) => {
    const prefixes = [`${VIP.v4}/32`];
    const { lab } = bed;
    const traffic = new Traffic(lab, { urls: [vipUrl(VIP.v4)], concurrency: 0 });
    t.after(() => traffic.stop());
    await traffic.flows();
    await eventually("its flows are the only ones", async () => {
      const { backends } = (await balancer.status()).pools[0]!;
      return backends.reduce((sum, { activeFlows }) => sum + activeFlows, 0) === traffic.total.open;
    });
    const told = async () => {
      const { usable, draining, announced } = (await balancer.status()).vips[0]!;
      return { usable, draining, announced };
    };
    await balancer.setBackendState("v4", "be1", "draining");
    const { code, stderr } = await balancer.command("drain", "v4/be2");
    assert.match(
      stderr,
      /v4\/be2 is the last backend of its pool that takes new flows: .* those of v4 are dropped here/,
    );
    assert.equal(code, 1);
    assert.deepEqual(await told(), { usable: true, draining: false, announced: true });

    await balancer.setBackendState("v4", "be2", "draining", true);
    assert.deepEqual(await told(), { usable: false, draining: true, announced: true });
    assert.match(
      (await balancer.command("status")).stdout,
      /^v4 +10\.99\.0\.1 tcp 80 +v4 +l2 +DRAINING +yes /m,
    );
    await traffic.flows();
    traffic.checkUnharmed();
    assert.deepEqual(await bed.routes.hops(prefixes[0]!), [lab.address("lb1", "v4")]);
    const end = () => traffic.stop();
    await bed.sends(t, "the last flow ended", [], end, { prefixes, limitMs: LOOK_MS + 2 * CHANGE_MS });
    assert.deepEqual(await told(), { usable: false, draining: false, announced: false });
    const back = () => balancer.setBackendState("v4", "be2", "active");
    await bed.sends(t, "one is back", ["lb1"], back, { prefixes });
    await balancer.setBackendState("v4", "be1", "active");
  });

  test("an end that is asked for: withdrawn first", async (t) => {
    await clients(t);
    await bed.sends(t, "SIGTERM", [], () => process.kill(balancer.pid, "SIGTERM"));
    assert.ok(!balancer.hasEnded, "it forwards until drain is over");
    await eventually("it has ended", () => balancer.hasEnded);
    assert.equal((await balancer.stop()).code, 0);
  });
});
