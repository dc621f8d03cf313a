// Backends that die under load, in every way that they can: only their own requests fail, and only until that is found out.

import assert from "node:assert/strict";
import { after, afterEach, before, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { BackendState } from "../../src/dataplane/backend-records.ts";
import { Lab } from "../../src/lab/lab.ts";
import { startNginx } from "../../src/lab/nginx.ts";
import { type LabServer, startServer, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, eventually, startBalancer } from "./harness.ts";
import { ownerOf, SEED } from "./ownership.ts";
import {
  backendOf,
  checkCounters,
  checkFrames,
  configOf,
  e2ePrefix,
  poolOf,
  requests,
  VIP,
} from "./setup.ts";
import { type HeldLoad, holdLoad } from "./traffic.ts";

const OPTIONS = { skip: skipReason("nginx"), timeout: 120_000 };
const URLS = [vipUrl(VIP.v4), vipUrl(VIP.v6)];
const LONG_LIVED = 40;
const ALL = ["be1", "be2", "be3", "be4", "be5"];
const INTERVAL_MS = 200;
const HEALTH = { type: "http", path: "/healthz", interval: `${INTERVAL_MS}ms`, fall: 2, rise: 2 };
/** Two checks, each until its timeout, which is the interval; and ten times that for a busy machine. */
const FOUND_MS = 3 * INTERVAL_MS;
const SLACK = 10;
/**
 * Of the client: what began before a backend was found dead may take so long to fail. Longer than a SYN waits to be sent again: a
 * port that is used again may meet what a backend has kept of a connection that moved away.
 */
const TIMEOUT_MS = 1800;
/** Between the clocks of two processes. */
const CLOCK_MS = 5;

suite("backends that die", OPTIONS, () => {
  let lab: Lab;
  let balancer: Balancer;
  let load: HeldLoad | undefined;
  const servers: Record<string, LabServer> = {};
  const isNginx = (name: string) => name === "be4";

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: ALL.length, queues: 2 });
    await Promise.all(ALL.map(serve));
    const pools = { web: { ...poolOf(lab), tableSize: 4099, health: HEALTH } };
    // A connection that moves from a dead backend is reset by the next one, which the balancer does not see: such entries are to
    // go soon.
    const options = { workers: 2, pools, timeouts: { new: "1s" } };
    const config = { ...configOf(lab, options), hash: { seed: SEED } };
    balancer = await startBalancer(lab, "lb1", config);
  });
  afterEach(async () => {
    await load?.stop();
    load = undefined;
  });
  after(async () => {
    await balancer?.close();
    await lab?.down();
  });

  async function serve(name: string): Promise<void> {
    servers[name] = await (isNginx(name) ? startNginx : startServer)(lab, name);
  }

  const link = (name: string, state: "up" | "down") =>
    lab.exec("router", ["ip", "link", "set", "dev", `p-${name}`, state]);

  const status = async (name: string) => backendOf(await balancer.status(), name);

  async function underLoad(longLived = LONG_LIVED): Promise<HeldLoad> {
    load = await holdLoad(lab, { longLived, timeoutMs: TIMEOUT_MS });
    return load;
  }

  /** When the balancer gave a backend this state, by its own log. */
  async function whenState(name: string, state: BackendState, sinceMs: number): Promise<number> {
    let at = 0;
    await eventually(`${name} is ${state}`, () => {
      const line = balancer.log.find(
        ({ msg, time, ...fields }) =>
          msg === "backend state" &&
          fields.backend === name &&
          fields.state === state &&
          Date.parse(String(time)) >= sinceMs,
      );
      at = Date.parse(String(line?.time));
      return line !== undefined;
    });
    return at;
  }

  /** Requests on new connections reach exactly these. */
  async function checkServedBy(names: string[]): Promise<void> {
    const options = { urls: URLS, concurrency: 4, timeoutMs: TIMEOUT_MS };
    const { failed, reasons, backends } = await requests(lab, 300, options);
    assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
    assert.deepEqual(Object.keys(backends), names);
  }

  const ways: {
    what: string;
    name: string;
    kill: (name: string) => unknown;
    revive: (name: string) => unknown;
  }[] = [
    {
      what: "its process is killed",
      name: "be1",
      kill: (name) => servers[name]!.stop("SIGKILL"),
      revive: serve,
    },
    {
      what: "its link goes down",
      name: "be2",
      kill: (name) => link(name, "down"),
      revive: (name) => link(name, "up"),
    },
    {
      what: "it hangs with an open port",
      name: "be3",
      kill: (name) => process.kill(servers[name]!.pid, "SIGSTOP"),
      revive: (name) => process.kill(servers[name]!.pid, "SIGCONT"),
    },
    {
      what: "nginx is killed",
      name: "be4",
      kill: (name) => servers[name]!.stop("SIGKILL"),
      revive: serve,
    },
  ];

  for (const { what, name, kill, revive } of ways) {
    test(`${what}: only its requests fail, and only until then`, async (t) => {
      const { share } = await status(name);
      assert.ok(share > 0.15 && share < 0.25, `${share}`);
      const table = await balancer.admin.table("web");
      const running = await underLoad();

      const killedAt = Date.now();
      await kill(name);
      const foundAt = await whenState(name, "dead", killedAt);
      await checkServedBy(ALL.filter((each) => each !== name));
      await eventually("the long-lived connections are open again", () => running.open === LONG_LIVED);

      // Until then a request that it has may still be answered, on a connection that goes elsewhere by now.
      await sleep(foundAt + TIMEOUT_MS - Date.now());
      const revivedAt = Date.now();
      await revive(name);
      const backAt = await whenState(name, "active", revivedAt);
      await checkServedBy(ALL);
      assert.equal((await status(name)).share, share);

      load = undefined;
      const { ok, failed, reasons, failures, longLived } = await running.stop();
      t.diagnostic(
        `found after ${foundAt - killedAt} ms, back after ${backAt - revivedAt} ms; ${ok + failed} requests, ${failed} failed: ` +
          `${JSON.stringify(reasons)}; ${longLived.lost} of ${LONG_LIVED} long-lived connections lost`,
      );
      assert.ok(foundAt - killedAt < SLACK * FOUND_MS, `${foundAt - killedAt} ms`);
      assert.ok(failed > 0 && failures.length === failed, `${failed} failed`);
      for (const failure of failures) {
        const shown = JSON.stringify({ killedAt, foundAt, backAt, ...failure });
        assert.equal(ownerOf(failure, table), name, shown);
        assert.ok(failure.startedAt + failure.ms >= killedAt - CLOCK_MS, shown);
        assert.ok(failure.startedAt <= foundAt + CLOCK_MS, shown);
      }
      assert.deepEqual([Object.keys(longLived.lostFrom), longLived.moved], [[name], 0]);
    });
  }

  test("drained by command: nothing fails, and what it has stays until it is closed", async () => {
    const held = await underLoad();
    const early = await balancer.command("drain", "be2", "--timeout", "1s");
    assert.match(early.stderr, /web\/be2 still has \d+ active flows after 1 s: it goes on draining/);
    assert.equal(early.code, 1);
    await checkServedBy(ALL.filter((each) => each !== "be2"));
    load = undefined;
    const { failed, longLived } = await held.stop();
    assert.deepEqual([failed, longLived.lost, longLived.moved], [0, 0, 0]);

    const { code } = await balancer.command("undrain", "be2");
    assert.equal(code, 0);
    const short = await underLoad(0);
    await eventually("be2 gets new flows", async () => (await status("be2")).activeFlows > 0);
    const { code: drained, stdout, stderr } = await balancer.command("drain", "web/be2", "--timeout", "20s");
    assert.deepEqual([drained, stdout], [0, "web/be2 is drained: no flow is active\n"], stderr);
    // Its last acknowledgements may be on their way still.
    const { newFlows } = await status("be2");
    await checkServedBy(ALL.filter((each) => each !== "be2"));
    const drainedBackend = await status("be2");
    assert.deepEqual([drainedBackend.activeFlows, drainedBackend.newFlows], [0, newFlows]);
    assert.equal((await balancer.command("undrain", "web/be2")).stdout, "web/be2 gets new flows again\n");
    await checkServedBy(ALL);
    load = undefined;
    const summary = await short.stop();
    assert.deepEqual([summary.failed, summary.reasons], [0, {}]);
  });

  test("everything was counted, and every frame is there", async () => {
    await checkFrames(balancer);
    await checkCounters(balancer);
    const dead = balancer.log.filter(({ msg, state }) => msg === "backend state" && state === "dead");
    assert.deepEqual(
      dead.map(({ backend }) => backend),
      ways.map(({ name }) => name),
      "nobody else was taken for dead",
    );
  });
});
