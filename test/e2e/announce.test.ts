// Announcements as the routers hear them: GoBGP in two balancers, BIRD in the router, its kernel's routes as the judge.
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { after, before, suite, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Announcer, announcementOf } from "../../src/announce/announcer.ts";
import { createAnnouncer } from "../../src/announce/create.ts";
import { type LabRouter, type LabSpeaker, startRouter, startSpeaker } from "../../src/lab/bgp.ts";
import { Lab } from "../../src/lab/lab.ts";
import { type RouteWatch, watchRoutes } from "../../src/lab/route-watch.ts";
import { createLogger } from "../../src/log.ts";
import { guardsOf, isReady } from "../announce/guards.ts";
import { bgpSkipReason } from "../lab/bgp.ts";
import { eventually } from "./harness.ts";
import { e2ePrefix } from "./setup.ts";

const HOLDER = fileURLToPath(new URL("../announce/holder.ts", import.meta.url));
const VIPS = ["10.99.0.1", "fd99::1"];
const PREFIXES = ["10.99.0.1/32", "fd99::1/128"];
const WANTED = VIPS.map(announcementOf);
/** Longest time from a wish to the router's kernel; it takes some 10 ms. */
const CHANGE_MS = 1000;
/** A session is tried again every second or two, and a hung one has to be found dead first. */
const SESSION_MS = 12_000;
/** The guard connects to GoBGP first; it takes some 100 ms. */
const GUARD_MS = 1500;
/** BFD takes 150 ms from the last packet; the machine may be busy. */
const BFD_MS = 1500;

suite("announcements", { skip: bgpSkipReason(), timeout: 120_000 }, () => {
  let lab: Lab;
  let router: LabRouter;
  let routes: RouteWatch;
  const speakers: Record<string, LabSpeaker> = {};

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), balancers: 2, backends: 0, vipRoutes: "none", vips: VIPS });
    router = await startRouter(lab);
    for (const node of ["lb1", "lb2"]) speakers[node] = await startSpeaker(lab, node);
    routes = await watchRoutes(lab);
    await router.established(["lb1", "lb2"]);
  });
  after(async () => {
    await routes?.stop();
    for (const daemon of [...Object.values(speakers), router]) await daemon?.stop();
    await lab?.down();
  });

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

  /** After the action the router sends both VIPs to exactly these nodes, within the time; prints when it did. */
  async function sends(
    t: TestContext,
    what: string,
    nodes: string[],
    action: () => unknown = () => {},
    limitMs = CHANGE_MS,
  ): Promise<void> {
    const seen = PREFIXES.map((prefix) => routes.until(prefix, nodes));
    const sinceMs = performance.now();
    const [times] = await Promise.all([Promise.all(seen), action()]);
    const ms = times.map((time) => Math.max(0, Math.round(time - sinceMs)));
    t.diagnostic(
      `${what}: via ${nodes.join(" and ") || "nobody"} after ${ms.join(" and ")} ms (IPv4 and IPv6)`,
    );
    for (const each of ms) assert.ok(each <= limitMs, `${what}: ${each} ms, expected at most ${limitMs}`);
  }

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
