// Announcements as the routers hear them: GoBGP in two balancers, BIRD in the router, its kernel's routes as the judge.
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { after, before, suite, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Announcer, announcementOf } from "../../src/announce/announcer.ts";
import { createAnnouncer } from "../../src/announce/create.ts";
import type { LabRouter, LabSpeaker } from "../../src/lab/bgp.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { createLogger } from "../../src/log.ts";
import { guardsOf, isReady } from "../announce/guards.ts";
import { bgpSkipReason } from "../lab/bgp.ts";
import { AnnouncedLab, CHANGE_MS, GUARD_MS, PREFIXES, SESSION_MS } from "./announced-lab.ts";
import { eventually } from "./harness.ts";
import { VIP } from "./setup.ts";

const HOLDER = fileURLToPath(new URL("../announce/holder.ts", import.meta.url));
const VIPS = Object.values(VIP);
const WANTED = VIPS.map(announcementOf);
/** BFD takes 150 ms from the last packet; the machine may be busy. */
const BFD_MS = 1500;

suite("announcements", { skip: bgpSkipReason(), timeout: 120_000 }, () => {
  let bed: AnnouncedLab;
  let lab: Lab;
  let router: LabRouter;
  let speakers: Record<string, LabSpeaker>;

  before(async () => {
    bed = await AnnouncedLab.up({ balancers: 2, backends: 0 });
    ({ lab, router, speakers } = bed);
  });
  after(() => bed?.down());

  const configOf = (node: string) => ({
    machine: {
      name: node,
      mac: "02:bb:00:00:00:01",
      address: lab.address(node, "v4"),
      address6: lab.address(node, "v6"),
    },
    vips: VIPS.map((address) => ({ address })),
    announce: { gobgp: speakers[node]!.target, communities: [65_000 * 65_536 + 7], drain: 0 },
  });

  function announcerOf(t: TestContext, node: string): Announcer {
    const announcer = createAnnouncer(configOf(node), createLogger({ level: "silent" }));
    t.after(() => announcer.stop());
    return announcer;
  }

  const sends = (
    t: TestContext,
    what: string,
    nodes: string[],
    action?: () => unknown,
    limitMs = CHANGE_MS,
  ): Promise<number> => bed.sends(t, what, nodes, action, { limitMs });

  test("come and go in the router's kernel, with all next hops", async (t) => {
    const first = announcerOf(t, "lb1");
    const second = announcerOf(t, "lb2");
    await sends(t, "announced by one", ["lb1"], () => first.want(WANTED));
    await sends(t, "announced by both", ["lb1", "lb2"], () => second.want(WANTED));
    const told = await router.ask("show", "route", "all");
    assert.equal(told.match(/BGP\.community: \(65000,7\)/g)?.length, 4, told);
    await sends(t, "withdrawn by one", ["lb2"], () => first.want([]));
    await sends(t, "stopped", [], () => second.stop());
  });

  test("say what became of them, and of the peers", async (t) => {
    const announcer = announcerOf(t, "lb1");
    await sends(t, "announced", ["lb1"], () => announcer.want(WANTED));
    for (let tries = 0; announcer.status().peers[0]?.advertisedPrefixes !== 2 && tries < 300; tries++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    const [peer] = announcer.status().peers;
    assert.ok(peer?.uptimeSeconds !== undefined && peer.uptimeSeconds < 120, JSON.stringify(peer));
    assert.deepEqual(
      { ...peer, uptimeSeconds: 0 },
      {
        address: lab.address("router", "v4"),
        asn: 65_000,
        state: "established",
        uptimeSeconds: 0,
        receivedPrefixes: 0,
        advertisedPrefixes: 2,
      },
    );
  });

  test("come again after GoBGP was killed and started again", async (t) => {
    const announcer = announcerOf(t, "lb1");
    await sends(t, "announced", ["lb1"], () => announcer.want(WANTED));
    await sends(t, "GoBGP killed", [], () => speakers.lb1!.halt("SIGKILL"), BFD_MS);
    const restarted = performance.now();
    await sends(t, "GoBGP started", ["lb1"], () => speakers.lb1!.restart(), SESSION_MS);
    await router.established(["lb1"]);
    t.diagnostic(`session and BFD are up after ${(performance.now() - restarted).toFixed(0)} ms`);
  });

  test("go within BFD's time when GoBGP hangs with its connection open", async (t) => {
    const announcer = announcerOf(t, "lb1");
    await sends(t, "announced", ["lb1"], () => announcer.want(WANTED));
    const { pid } = speakers.lb1!;
    await sends(t, "GoBGP hangs", [], () => process.kill(pid, "SIGSTOP"), BFD_MS);
    await sends(t, "GoBGP goes on", ["lb1"], () => process.kill(pid, "SIGCONT"), SESSION_MS);
    await router.established(["lb1"]);
  });

  test("of a killed process go at once, though its GoBGP lives", async (t) => {
    const holder = await hold("lb1");
    await sends(t, "announced", ["lb1"]);
    await sends(t, "process killed", [], () => holder.kill("SIGKILL"), GUARD_MS);
  });

  test("of a machine that is gone, process, GoBGP and all, go and leave the other's", async (t) => {
    const other = announcerOf(t, "lb2");
    other.want(WANTED);
    const holder = await hold("lb1");
    await sends(t, "announced", ["lb1", "lb2"]);
    const kill = async () => {
      for (const pid of await pids("lb1")) process.kill(pid, "SIGKILL");
    };
    await sends(t, "all killed", ["lb2"], kill, BFD_MS);
    if (holder.exitCode === null && holder.signalCode === null) await once(holder, "exit");
  });

  /** A process in a node that announces both VIPs. */
  async function hold(node: string): Promise<ChildProcess> {
    const argv = [process.execPath, HOLDER, JSON.stringify(configOf(node)), ...PREFIXES];
    const child = lab.spawn(node, argv);
    assert.equal(String((await once(child.stdout!, "data"))[0]), "announced 2\n");
    await eventually("its guard is ready", () => guardsOf(child.pid!).some(isReady));
    return child;
  }

  async function pids(node: string): Promise<number[]> {
    const { stdout } = await lab.exec("router", ["ip", "netns", "pids", lab.namespace(node)]);
    return stdout.trim().split("\n").map(Number);
  }
});
