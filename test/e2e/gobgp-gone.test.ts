// GoBGP that is not there yet, or not any more. Its routes go with it, and a wider static one is left in the router: packets
// come all the same, and are served as if nothing had happened.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before, suite, type TestContext, test } from "node:test";
import { stringify } from "yaml";
import type { LabSpeaker } from "../../src/lab/bgp.ts";
import { startServers } from "../../src/lab/traffic.ts";
import { bgpSkipReason } from "../lab/bgp.ts";
import { AnnouncedLab, CHANGE_MS, PREFIXES, SESSION_MS } from "./announced-lab.ts";
import { type Balancer, eventually, startBalancer } from "./harness.ts";
import { metric, statusText } from "./observed.ts";
import { checkCounters, checkFrames, configOf, poolOf } from "./setup.ts";
import { Traffic } from "./traffic.ts";

/** Of the VIPs, by hand. */
const STATIC = ["10.99.0.0/24", "fd99::/64"];
const DRAIN_MS = 100;
/** A change that GoBGP should hear of waits for one attempt to reach it: the next is a second away at most. */
const ATTEMPT_MS = 1000;

suite("a balancer without GoBGP", { skip: bgpSkipReason(), timeout: 120_000 }, () => {
  let bed: AnnouncedLab;
  let speaker: LabSpeaker;
  let balancer: Balancer;

  before(async () => {
    bed = await AnnouncedLab.up({ balancers: 1, backends: 2 });
    speaker = bed.speakers.lb1!;
    await startServers(bed.lab);
    await bed.lab.routeVips(["lb1"], STATIC);
    await speaker.halt("SIGKILL");
    balancer = await startBalancer(bed.lab, "lb1", config());
  });
  after(async () => {
    try {
      await balancer?.close();
    } finally {
      await bed?.down();
    }
  });

  function config(): object {
    const document = configOf(bed.lab, { workers: 2, pools: { web: poolOf(bed.lab) } });
    return { ...document, announce: { gobgp: speaker.target, drain: `${DRAIN_MS}ms` } };
  }

  async function clients(t: TestContext): Promise<Traffic> {
    const traffic = new Traffic(bed.lab);
    t.after(() => traffic.stop());
    await traffic.flows();
    return traffic;
  }

  /** That GoBGP cannot be reached and why, and what that means, wherever an operator may look. */
  async function checkGone(reason = /cannot be reached.*: is gobgpd running\?$/m): Promise<void> {
    await eventually("it knows", async () => !(await balancer.status()).announcement.connected);
    const { announcement, vips, forwarder } = await balancer.status();
    assert.match(announcement.error!, reason);
    assert.deepEqual([announcement.wanted, announcement.announced, announcement.peers], [PREFIXES, [], []]);
    assert.ok(forwarder.healthy);
    assert.deepEqual(
      vips.map(({ usable, announced }) => [usable, announced]),
      [
        [true, false],
        [true, false],
      ],
    );
    const text = await statusText(balancer);
    assert.match(text, /^announcement: gobgp, NOT CONNECTED, announced: nothing$/m);
    for (const prefix of PREFIXES) assert.ok(text.includes(`  NOT ANNOUNCED YET: ${prefix}\n`), text);
    assert.match(text, reason);
    assert.equal(await metric(balancer, "guideway_announcer_connected"), 0);
    for (const prefix of PREFIXES) {
      assert.equal(await metric(balancer, "guideway_announcement_wanted", { prefix }), 1);
      assert.equal(await metric(balancer, "guideway_announcement_announced", { prefix }), undefined);
    }
  }

  async function checkBack(): Promise<void> {
    await eventually("its peer is established", async () => {
      const { peers } = (await balancer.status()).announcement;
      return peers[0]?.state === "established";
    });
    const { announcement } = await balancer.status();
    assert.deepEqual([announcement.connected, announcement.error], [true, undefined]);
    const text = await statusText(balancer);
    assert.match(text, /^announcement: gobgp, announced: 10\.99\.0\.1\/32, fd99::1\/128$/m);
    assert.match(text, /^ {2}peer 10\.0\.0\.1 \(AS 65000\): established/m);
    assert.doesNotMatch(text, /NOT CONNECTED|NOT ANNOUNCED|cannot be reached/);
    assert.equal(await metric(balancer, "guideway_announcer_connected"), 1);
    for (const prefix of PREFIXES)
      assert.equal(await metric(balancer, "guideway_announcement_announced", { prefix }), 1);
  }

  test("a start without it: it serves, says what is missing, and announces when GoBGP comes", async (t) => {
    const traffic = await clients(t);
    await checkGone();
    assert.equal(balancer.log.filter(({ msg }) => msg.startsWith("announcer not connected")).length, 1);
    await bed.sends(t, "GoBGP started", ["lb1"], () => speaker.restart(), { limitMs: SESSION_MS });
    await checkBack();
    await traffic.flows();
    traffic.checkUnharmed();
  });

  test("killed and started again under load", async (t) => {
    const traffic = await clients(t);
    await bed.sends(t, "GoBGP killed", [], () => speaker.halt("SIGKILL"));
    await checkGone();
    await traffic.flows();
    await bed.sends(t, "GoBGP started", ["lb1"], () => speaker.restart(), { limitMs: SESSION_MS });
    await checkBack();
    await traffic.flows();
    traffic.checkUnharmed();
    t.diagnostic(`${traffic.total.ok} requests, none failed`);
    await traffic.stop();
    await checkCounters(balancer);
  });

  test("hung under load, with its connections open", async (t) => {
    const traffic = await clients(t);
    await bed.sends(t, "GoBGP hangs", [], () => process.kill(speaker.pid, "SIGSTOP"));
    await checkGone(/GoBGP at unix:.* has not answered within 2000 ms$/m);
    const restart = () => speaker.restart("SIGKILL");
    await bed.sends(t, "GoBGP restarted", ["lb1"], restart, { limitMs: SESSION_MS });
    await checkBack();
    await traffic.flows();
    traffic.checkUnharmed();
    await traffic.stop();
  });

  test("changes meanwhile do not wait for it, and it hears of what is wanted then", async (t) => {
    await speaker.halt("SIGKILL");
    await checkGone();
    const startMs = performance.now();
    await balancer.admin.setBackendState("web", "be2", "draining");
    // The last one is out: the VIPs are not to be announced.
    await balancer.admin.setBackendState("web", "be2", "dead");
    await balancer.admin.setBackendState("web", "be1", "dead", true);
    await eventually(
      "none is wanted",
      async () => (await balancer.status()).announcement.wanted.length === 0,
    );
    await balancer.admin.setBackendState("web", "be1", "active");
    assert.ok(performance.now() - startMs < ATTEMPT_MS);
    await bed.sends(t, "GoBGP started", ["lb1"], () => speaker.restart(), { limitMs: SESSION_MS });
    await balancer.admin.setBackendState("web", "be2", "active");
  });

  test("a VIP that leaves while it is gone is not announced again", async (t) => {
    const [v4] = PREFIXES as [string];
    const traffic = new Traffic(bed.lab, { urls: ["http://10.99.0.1/"] });
    t.after(() => traffic.stop());
    await traffic.flows();
    await speaker.halt("SIGKILL");
    await checkGone();
    const text = stringify({ ...without("web-v6"), change: { state: `${balancer.folder}/state` } });
    writeFileSync(balancer.file, text);
    const startMs = performance.now();
    const { code, stdout, stderr } = await balancer.command("reload");
    assert.equal(code, 0, stderr);
    t.diagnostic(`reload took ${Math.round(performance.now() - startMs)} ms: ${stdout.split("\n")[0]}`);
    await bed.sends(t, "GoBGP started", ["lb1"], () => speaker.restart(), {
      limitMs: SESSION_MS,
      prefixes: [v4],
    });
    assert.deepEqual(await bed.routes.hops(PREFIXES[1]!), []);
    assert.deepEqual((await balancer.status()).announcement.wanted, [v4]);
    await traffic.flows();
    traffic.checkUnharmed();
    await traffic.stop();
    await checkFrames(balancer);
  });

  function without(vip: string): object {
    const document = config() as { vips: { name: string }[] };
    return {
      ...document,
      vips: document.vips.filter(({ name }) => name !== vip),
      admin: { socket: balancer.socket },
    };
  }

  test("an end while it is gone: in time, and it says that it could not withdraw", async (t) => {
    await speaker.halt("SIGKILL");
    await eventually("it knows", async () => !(await balancer.status()).announcement.connected);
    const startMs = performance.now();
    const { code, log } = await balancer.stop();
    const ms = performance.now() - startMs;
    t.diagnostic(`ended after ${Math.round(ms)} ms`);
    assert.equal(code, 0);
    assert.ok(ms < ATTEMPT_MS + DRAIN_MS + CHANGE_MS, `${ms} ms`);
    // On a busy machine a self-test may be late.
    const errors = log.filter(({ level, msg }) => level >= 50 && msg !== "the forwarder is not healthy");
    assert.deepEqual([errors, log.at(-1)?.msg], [[], "stopped"]);
    const left = balancer.logged("not withdrawn: the routers may still send packets here");
    assert.ok(left, balancer.text);
    t.diagnostic(JSON.stringify(left));
  });
});
