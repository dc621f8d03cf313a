// A balancer that ends and begins again, by whatever end and with another configuration: open connections go on at the backend
// where they are, although the lookup table would send them elsewhere by now. Without `conntrack.persist` they break: that is
// what shows that the table would.

import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, type TestContext, test } from "node:test";
import type { Overview } from "../../src/control/overview.ts";
import { Lab } from "../../src/lab/lab.ts";
import type { LoadReport } from "../../src/lab/load.ts";
import { startLoad, startServers, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, type BalancerOptions, eventually, newFolder, startBalancer } from "./harness.ts";
import { checkCounters, checkFrames, configOf, e2ePrefix, poolOf, requests, VIP } from "./setup.ts";

const OPTIONS = { skip: skipReason(), timeout: 120_000 };
const CONNECTIONS = 60;
/** Longer than an end, a start, and what TCP waits until it sends once more. */
const TIMEOUT_MS = 20_000;
const URLS = [vipUrl(VIP.v4), vipUrl(VIP.v6)];

interface Vip {
  name: string;
  address: string;
}

suite("connections outlive the balancer", OPTIONS, () => {
  let lab: Lab;
  const folder = newFolder();
  const flows = join(folder, "flows");

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 4, queues: 2 });
    await startServers(lab);
  });
  after(async () => {
    await lab?.down();
    rmSync(folder, { recursive: true, force: true });
  });

  /** @param backends of the pool, in this order @param first a VIP before the others */
  function config(backends: string[], { persist = true, first = false } = {}): object {
    const { backends: all } = poolOf(lab);
    const pool = { backends: backends.map((name) => all.find((each) => each.name === name)!) };
    const base = configOf(lab, { workers: 2, pools: { web: pool } }) as { conntrack: object; vips: Vip[] };
    const more = first ? [{ ...base.vips[0]!, name: "first", address: "10.99.0.9" }] : [];
    return {
      ...base,
      conntrack: { ...base.conntrack, ...(persist && { persist: flows }) },
      vips: [...more, ...base.vips],
    };
  }

  const start = (config: object, options: BalancerOptions = {}) =>
    startBalancer(lab, "lb1", config, { folder, ...options });

  /** Connections that ask every tenth of a second. @returns when each has been answered */
  async function hold(t: TestContext) {
    let recent: LoadReport | undefined;
    const load = startLoad(lab, {
      urls: URLS,
      concurrency: 0,
      longLived: CONNECTIONS,
      longLivedIntervalMs: 100,
      timeoutMs: TIMEOUT_MS,
      intervalMs: 250,
      onReport: (report) => {
        recent = report;
      },
    });
    t.after(() => load.stop());
    const all = async () => {
      recent = undefined;
      await eventually(
        "all connections are answered",
        () => (recent?.longLived.ok ?? 0) >= CONNECTIONS,
        25_000,
      );
    };
    await eventually("all connections are open", () => recent?.longLived.open === CONNECTIONS);
    return { load, answered: all };
  }

  interface Restart {
    end: "SIGTERM" | "SIGKILL";
    before: object;
    next: object;
    /** Done between the two. */
    meanwhile?: () => void;
  }

  /** @returns what became of the connections, and the second one's status at the end */
  async function restart(t: TestContext, { end, before, next, meanwhile }: Restart) {
    rmSync(flows, { recursive: true, force: true });
    const first = await start(before);
    t.after(() => first.stop());
    const { load, answered } = await hold(t);
    await first.stop(end);
    meanwhile?.();
    const second = await start(next);
    t.after(() => second.stop());
    await answered();
    const { longLived } = await load.stop();
    return { longLived, second, status: await second.status() };
  }

  async function checkSound(balancer: Balancer): Promise<void> {
    const { failed } = await requests(lab, 100, { urls: URLS, concurrency: 4 });
    assert.equal(failed, 0);
    await checkCounters(balancer);
    await checkFrames(balancer);
  }

  const kept = ({ persistence }: Overview) => persistence!;

  for (const end of ["SIGTERM", "SIGKILL"] as const) {
    test(`${end}, and a start with more backends: not one is lost`, async (t) => {
      const { longLived, second, status } = await restart(t, {
        end,
        before: config(["be1", "be2"]),
        next: config(["be4", "be3", "be1", "be2"], { first: true }),
      });
      assert.deepEqual([longLived.lost, longLived.failed, longLived.moved], [0, 0, 0]);
      assert.ok(kept(status).kept >= CONNECTIONS, `${kept(status).kept} were taken over`);
      assert.deepEqual(
        [kept(status).persistent, kept(status).setAside, kept(status).forsaken],
        [true, undefined, 0],
      );
      const { kept: told } = second.logged("connections taken over")!;
      assert.equal(told, kept(status).kept);
      await checkSound(second);
    });
  }

  test("without it, the same start breaks them", async (t) => {
    const { longLived, status } = await restart(t, {
      end: "SIGTERM",
      before: config(["be1", "be2"], { persist: false }),
      next: config(["be4", "be3", "be1", "be2"], { persist: false, first: true }),
    });
    assert.ok(longLived.lost > CONNECTIONS / 4, `${longLived.lost} were lost`);
    assert.equal(status.persistence, undefined);
  });

  test("a backend that has gone loses its own, and nobody else does", async (t) => {
    const { longLived, second, status } = await restart(t, {
      end: "SIGKILL",
      before: config(["be1", "be2", "be3"]),
      next: config(["be4", "be3", "be1"], { first: true }),
    });
    assert.deepEqual([Object.keys(longLived.lostFrom), longLived.moved], [["be2"], 0]);
    assert.ok(kept(status).forsaken >= longLived.lost && longLived.lost > 0);
    assert.match(
      (await second.command("status")).stdout,
      /taken over at the start, \d+ were of backends that are gone/,
    );
    await checkSound(second);
  });

  test("what is damaged is set aside, with a warning, and the balancer works", async (t) => {
    const { second, status } = await restart(t, {
      end: "SIGTERM",
      before: config(["be1", "be2"]),
      next: config(["be1", "be2"]),
      meanwhile: () => {
        const table = readdirSync(flows).find((name) => /^flows-[0-9a-f]{32}$/.test(name))!;
        const bytes = readFileSync(join(flows, table));
        bytes.fill(0xa5, bytes.length - 64);
        writeFileSync(join(flows, table), bytes);
      },
    });
    assert.deepEqual([kept(status).kept, kept(status).persistent], [0, true]);
    assert.match(kept(status).setAside!.reason, /that no process has written/);
    const warned = second.log.filter(({ level }) => level >= 40).map(({ msg }) => msg);
    assert.ok(
      warned.includes("connections of the process before cannot be taken over: set aside"),
      warned.join(),
    );
    assert.match((await second.command("status")).stdout, /SET ASIDE at the start: \S+\.set-aside-/);
    await checkSound(second);
  });

  test("without room for them they are kept in memory, and the log says so", async (t) => {
    const mount = `mount -t tmpfs -o size=2m,mode=700 none ${flows}`;
    const small = (argv: string[]) => [
      ...["unshare", "--mount", "sh", "-c", `mkdir -p ${flows} && ${mount} && exec "$@"`, "sh"],
      ...argv,
    ];
    const balancer = await start(config(["be1", "be2"]), { wrap: small });
    t.after(() => balancer.stop());
    const { persistence } = await balancer.status();
    assert.equal(persistence!.persistent, false);
    assert.match(persistence!.error!, /No space left on device/);
    assert.match(
      (await balancer.command("status")).stdout,
      /WILL NOT OUTLIVE THIS PROCESS: reserving \d+ bytes/,
    );
    await checkSound(balancer);
    assert.equal((await balancer.stop()).code, 0);
  });
});
