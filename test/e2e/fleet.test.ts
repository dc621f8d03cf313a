// Two machines behind a router that sends each flow to one of them (ECMP). Flows of a machine that goes move to the other,
// which has never seen them, and reach the backend that they had: both compute the same tables, with the same seed.
//
// The router's paths are lb1 and lb2 in this order; the first one leaves in order, the last one is killed.

import assert from "node:assert/strict";
import { after, before, suite, type TestContext, test } from "node:test";
import { startLoad, startServers, vipUrl } from "../../src/lab/traffic.ts";
import { guardsOf, isReady } from "../announce/guards.ts";
import { bgpSkipReason } from "../lab/bgp.ts";
import { AnnouncedLab, CHANGE_MS, GUARD_MS } from "./announced-lab.ts";
import { type Balancer, eventually, newFolder, startBalancer } from "./harness.ts";
import { SEED } from "./ownership.ts";
import { configOf, poolOf, VIP } from "./setup.ts";
import { Traffic } from "./traffic.ts";

const LONG_LIVED = 32;
/** BFD: 50 ms × 3. */
const BFD_MS = 150;
/** Of clients whose lost packets come again in time, and of clients that fail with the first packet lost: a SYN is sent again after 1 s. */
const PATIENT_MS = 5000;
const IMPATIENT_MS = 900;
/** Between the clocks of two processes, and of events in this one. */
const CLOCK_MS = 10;
/** Of the router's choice, so that it must be the same later. */
const SAMPLES = Array.from({ length: 64 }, (_, i) => 20_000 + 7 * i);

suite("two machines behind a router", { skip: bgpSkipReason(), timeout: 120_000 }, () => {
  const folders: Record<string, string> = { lb1: newFolder(), lb2: newFolder() };
  const machines: Record<string, Balancer> = {};
  let bed: AnnouncedLab;

  before(async () => {
    bed = await AnnouncedLab.up({ balancers: 2, backends: 4 });
    await startServers(bed.lab);
    await Promise.all([start("lb1"), start("lb2")]);
    await bed.sends({ diagnostic() {} } as unknown as TestContext, "started", ["lb1", "lb2"]);
  });
  after(async () => {
    try {
      for (const machine of Object.values(machines)) await machine.close();
    } finally {
      await bed?.down();
    }
  });

  async function start(name: string): Promise<void> {
    const { lab, speakers } = bed;
    const machine = { name, address: lab.address(name, "v4"), address6: lab.address(name, "v6") };
    const running = await startBalancer(
      lab,
      name,
      {
        ...configOf(lab, { pools: { web: { ...poolOf(lab), tableSize: 4099 } } }),
        machine,
        hash: { seed: SEED },
        announce: { gobgp: speakers[name]!.target, drain: "500ms" },
      },
      { folder: folders[name]! },
    );
    await eventually("its guard is ready", () => guardsOf(running.pid).some(isReady));
    machines[name] = running;
  }

  /** Flows that a machine has, of the kind that does not end. */
  async function activeFlows(name: string): Promise<number> {
    const { pools } = await machines[name]!.status();
    return pools.flatMap(({ backends }) => backends).reduce((sum, each) => sum + each.activeFlows, 0);
  }

  /** Clients that keep what they have open, until the end of a test; each machine has some of it. */
  async function clients(t: TestContext): Promise<Traffic> {
    const traffic = new Traffic(bed.lab, { longLived: LONG_LIVED, timeoutMs: PATIENT_MS });
    t.after(() => traffic.stop());
    await traffic.flows();
    await eventually("the long-lived connections are open", () => traffic.total.open === LONG_LIVED);
    for (const name of Object.keys(machines)) assert.ok((await activeFlows(name)) >= 4, name);
    traffic.checkUnharmed();
    return traffic;
  }

  /**
   * Which machine the router sends packets from these ports of the client to now: the kernel's own word for each. Of IPv4: for
   * IPv6 what it says is not what it does (Linux 6.18).
   */
  async function pathsOf(ports: readonly number[]): Promise<string[]> {
    const { lab } = bed;
    const flow = `${VIP.v4} from ${lab.address("client", "v4")} iif p-client ipproto tcp dport 80`;
    const input = ports.map((port) => `route get ${flow} sport ${port}\n`).join("");
    const { stdout } = await lab.exec("router", ["ip", "-json", "-batch", "-"], { input });
    const names = new Map(lab.nodes("balancer").map((name) => [lab.address(name, "v4"), name]));
    const hops = stdout.split("\n").flatMap((line) => (line.trim() ? JSON.parse(line) : []));
    return (hops as { gateway: string }[]).map(({ gateway }) => names.get(gateway) ?? gateway);
  }

  test("both have the same tables, and each gets its part", async () => {
    const [one, other] = await Promise.all(Object.values(machines).map(({ admin }) => admin.table("web")));
    assert.equal(one!.digest, other!.digest);
    const paths = await pathsOf(SAMPLES);
    assert.deepEqual([...new Set(paths)].sort(), ["lb1", "lb2"]);
  });

  test("one that ends in order: nothing fails, and connections go on by the other", async (t) => {
    const traffic = await clients(t);
    const first = machines.lb1!;
    await bed.sends(t, "SIGTERM", ["lb2"], () => process.kill(first.pid, "SIGTERM"));
    await eventually("it has ended", () => first.hasEnded);
    assert.equal((await first.stop()).code, 0);
    await traffic.flows();
    assert.ok((await activeFlows("lb2")) >= LONG_LIVED);
    traffic.checkUnharmed();

    await bed.sends(t, "started", ["lb1", "lb2"], () => start("lb1"), { limitMs: 10_000 });
    await traffic.flows();
    traffic.checkUnharmed();
    assert.ok((await machines.lb1!.status()).reasons.new! > 0, "lb1 has its part again");
    t.diagnostic(
      `${traffic.total.ok} requests, none failed; ${traffic.total.open} connections are still open`,
    );
  });

  const port = (state: "up" | "down") => bed.lab.exec("router", ["ip", "link", "set", "dev", "p-lb2", state]);

  const ways: { what: string; limitMs: number; kill: () => unknown; revive: () => unknown }[] = [
    {
      what: "a process that is killed: until its guard has withdrawn",
      limitMs: GUARD_MS,
      kill: () => machines.lb2!.kill9(),
      revive: () => {},
    },
    {
      what: "a machine that is gone: until BFD says so",
      limitMs: BFD_MS + CHANGE_MS,
      kill: () => port("down"),
      revive: async () => {
        await machines.lb2!.kill9();
        await bed.speakers.lb2!.restart("SIGKILL");
        await port("up");
      },
    },
  ];

  for (const { what, limitMs, kill, revive } of ways) {
    test(`${what}, only what began on it fails, and no connection breaks`, async (t) => {
      const traffic = await clients(t);
      const impatient = startLoad(bed.lab, {
        urls: [vipUrl(VIP.v4)],
        concurrency: 16,
        rate: 400,
        timeoutMs: IMPATIENT_MS,
      });
      t.after(() => impatient.stop());
      await traffic.flows();
      const pathsBefore = await pathsOf(SAMPLES);

      const killedAt = Date.now();
      const ms = await bed.sends(t, "gone", ["lb1"], kill, { limitMs });
      const knownAt = killedAt + ms;
      await traffic.flows();
      const { ok, failed, reasons, failures } = await impatient.stop();

      // Back again, the router chooses as it did, and can be asked whose the failures were.
      await revive();
      await bed.sends(t, "back", ["lb1", "lb2"], () => start("lb2"), { limitMs: 20_000 });
      assert.deepEqual(await pathsOf(SAMPLES), pathsBefore);
      await traffic.flows();
      // TCP sends again what was lost meanwhile.
      traffic.checkUnharmed();
      t.diagnostic(
        `known after ${ms} ms; ${ok} requests answered, ${failed} failed: ${JSON.stringify(reasons)}; of ${LONG_LIVED} connections none broke`,
      );

      assert.ok(failed > 0 && failures.length === failed, `${failed} failed`);
      for (const failure of failures) {
        const shown = JSON.stringify({ killedAt, knownAt, failure });
        assert.ok(failure.startedAt + failure.ms >= killedAt - CLOCK_MS, shown);
        assert.ok(failure.startedAt <= knownAt + CLOCK_MS, shown);
      }
      assert.deepEqual([...new Set(await pathsOf(failures.map(({ from }) => from!.port)))], ["lb2"]);
      await bed.router.established(["lb1", "lb2"]);
    });
  }
});
