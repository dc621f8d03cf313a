// Configurations that follow each other under load: nothing fails on what stays.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { stringify } from "yaml";
import type { AuditEntry } from "../../src/control/history.ts";
import type { TableStatus } from "../../src/control/status.ts";
import { Lab } from "../../src/lab/lab.ts";
import type { Failure, LoadReport } from "../../src/lab/load.ts";
import { type LabClient, startLoad, startServers, vipUrl } from "../../src/lab/traffic.ts";
import { random } from "../dataplane/random.ts";
import { skipReason } from "../lab/machine.ts";
import { runs } from "../runs.ts";
import { type Balancer, eventually, startBalancer } from "./harness.ts";
import { ownerOf, SEED } from "./ownership.ts";
import {
  backendOf,
  checkCounters,
  checkFrames,
  configOf,
  e2ePrefix,
  poolOf,
  quietStatus,
  requests,
  VIP,
} from "./setup.ts";

const { reloads } = runs.reload;
const OPTIONS = { skip: skipReason(), timeout: 60_000 + reloads * 2000 };
const URLS = [vipUrl(VIP.v4), vipUrl(VIP.v6)];
/** A VIP that is there only at times. */
const EXTRA = "10.99.0.3";
const UNTOUCHED = ["be1", "be2"];
const TOUCHED = ["be3", "be4", "be5"];
const LONG_LIVED = 40;
const ASK_MS = 25;
/** How long a connection to a backend that left may go unused, on a busy machine. */
const UNUSED_MS = 1000;
const HEALTH = { type: "http", path: "/healthz", port: 80, interval: "500ms", fall: 3, rise: 2 };

interface Members {
  /** Weights by name; who is not here is no member. */
  [name: string]: number;
}

/** What a test says of the configuration; the rest is the same in all. */
interface Shape {
  members?: Members;
  tableSize?: number;
  forward?: "l2" | "gre";
  /** Of the VIP of IPv4. */
  pool?: "web" | "other";
  extra?: boolean;
}

/** A reload, and what it took away. */
interface Step {
  startedAt: number;
  endedAt: number;
  before: TableStatus;
  removed: string[];
}

suite("reloads under load", OPTIONS, () => {
  const everyone: Members = { be1: 4, be2: 4, be3: 4, be4: 4, be5: 4 };
  let lab: Lab;
  let balancer: Balancer;
  let load: LabClient | undefined;
  let open = 0;
  let applied = 0;

  before(async () => {
    const vips = [...Object.values(VIP), EXTRA];
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 5, queues: 2, forward: "gre", vips });
    await startServers(lab);
    balancer = await startBalancer(lab, "lb1", documentOf({}));
  });
  afterEach(async () => {
    await load?.stop();
    load = undefined;
  });
  after(async () => {
    await balancer?.close();
    await lab?.down();
  });

  function documentOf(shape: Shape): object {
    const { members = everyone, tableSize = 4099, forward = "l2", pool = "web", extra = false } = shape;
    const { backends } = poolOf(lab);
    const weighed = backends.flatMap((each) =>
      members[each.name] === undefined ? [] : [{ ...each, weight: members[each.name] }],
    );
    const vip = { protocol: "tcp", port: 80, forward };
    return {
      ...configOf(lab, { workers: 2, timeouts: { new: "1s" } }),
      hash: { seed: SEED },
      pools: {
        web: { tableSize, health: HEALTH, backends: weighed },
        other: { tableSize: 251, health: HEALTH, backends: backends.slice(0, 2) },
      },
      vips: [
        { ...vip, name: "web", address: VIP.v4, pool },
        { ...vip, name: "web6", address: VIP.v6, pool: "web" },
        { ...vip, name: "other", address: VIP.v4, port: 8080, pool: "other" },
        ...(extra ? [{ ...vip, name: "extra", address: EXTRA, pool: "other" }] : []),
      ],
    };
  }

  /** The text of a configuration, with what the balancer's own adds. */
  const textOf = (shape: Shape) =>
    stringify({
      ...documentOf(shape),
      admin: { socket: balancer.socket },
      change: { state: join(balancer.folder, "state") },
    });

  const generation = async () => (await balancer.status()).configuration.generation;

  const by = {
    async api(text: string) {
      await balancer.admin.reload({ text, file: balancer.file });
    },
    async command(text: string) {
      writeFileSync(balancer.file, text);
      const { code, stdout, stderr } = await balancer.command("reload");
      assert.equal(code, 0, stderr);
      assert.match(stdout, /generation \d+ is in force/);
    },
    async signal(text: string) {
      writeFileSync(balancer.file, text);
      const next = (await generation()) + 1;
      process.kill(balancer.pid, "SIGHUP");
      await eventually("it is in force", async () => (await generation()) === next);
    },
  };

  /** @returns milliseconds that it took */
  async function reload(shape: Shape, way: keyof typeof by = "api"): Promise<number> {
    const startMs = performance.now();
    await by[way](textOf(shape));
    applied++;
    return performance.now() - startMs;
  }

  async function underLoad(longLived = LONG_LIVED): Promise<LabClient> {
    open = 0;
    load = startLoad(lab, {
      urls: URLS,
      concurrency: 4,
      rate: 200,
      longLived,
      longLivedIntervalMs: ASK_MS,
      timeoutMs: 3000,
      intervalMs: 50,
      onReport: ({ longLived }: LoadReport) => {
        open = longLived.open;
      },
    });
    await eventually("the long-lived connections are open", () => open === longLived);
    return load;
  }

  async function endLoad(): Promise<LoadReport> {
    const summary = await load!.stop();
    load = undefined;
    return summary;
  }

  /** Ends the load, of which nothing may have failed. */
  async function checkNothingFailed(t: { diagnostic(text: string): void }): Promise<void> {
    const { ok, failed, reasons, longLived } = await endLoad();
    const { lost, moved } = longLived;
    assert.deepEqual({ failed, reasons, lost, moved }, { failed: 0, reasons: {}, lost: 0, moved: 0 });
    t.diagnostic(`${ok} requests, none failed`);
  }

  /** Other members or weights than before. */
  function changed(members: Members, next: () => number): Members {
    const name = TOUCHED[Math.floor(next() * TOUCHED.length)]!;
    const { [name]: weight, ...others } = members;
    if (weight === undefined) return { ...others, [name]: 1 + Math.floor(next() * 20) };
    return next() < 0.5 ? others : { ...others, [name]: (weight % 20) + 1 };
  }

  test(`${reloads} with other weights and members: only requests to who left fail`, async (t) => {
    const running = await underLoad();
    const active = async () => {
      const status = await balancer.status();
      return UNTOUCHED.map((name) => backendOf(status, name).activeFlows);
    };
    assert.ok((await active()).every((flows) => flows > 2));
    const next = random(runs.seed);
    const steps: Step[] = [];
    const times: Record<keyof typeof by, number[]> = { api: [], command: [], signal: [] };
    let members = everyone;
    let table = await balancer.admin.table("web");
    for (let i = 0; i < reloads; i++) {
      const then = changed(members, next);
      const way = i % 10 === 3 ? "command" : i % 5 === 0 ? "signal" : "api";
      const startedAt = Date.now();
      times[way].push(await reload({ members: then }, way));
      const removed = Object.keys(members).filter((name) => then[name] === undefined);
      steps.push({ startedAt, endedAt: Date.now(), before: table, removed });
      members = then;
      table = await balancer.admin.table("web");
    }
    assert.ok((await active()).every((flows) => flows > 2));
    assert.equal(running, load);
    const { ok, failed, reasons, failures, longLived } = await endLoad();
    const left = steps.flatMap(({ removed }) => removed);
    const told = Object.entries(times).map(([way, all]) => {
      const sorted = all.toSorted((a, b) => a - b);
      return `by ${way} ${sorted[sorted.length >> 1]!.toFixed(0)} ms, ${sorted.at(-1)!.toFixed(0)} at most`;
    });
    t.diagnostic(
      `${reloads} reloads (${told.join("; ")}), ${left.length} backends left; ${ok + failed} requests, ${failed} failed on ` +
        `those: ${JSON.stringify(reasons)}; long-lived connections lost: ${JSON.stringify(longLived.lostFrom)}`,
    );
    assert.ok(left.length > reloads / 10);
    assert.equal(failures.length, Math.min(failed, 1000));
    for (const failure of failures) assert.ok(isOfWhoLeft(failure, steps), JSON.stringify(failure));
    assert.deepEqual(
      Object.keys(longLived.lostFrom).filter((name) => !left.includes(name)),
      [],
    );
    assert.equal(longLived.moved, 0);
    assert.equal(await generation(), 1 + applied);
  });

  /** Whether it was under way, or its connection was open, when its backend left. */
  function isOfWhoLeft(failure: Failure, steps: Step[]): boolean {
    const endedAt = failure.startedAt + failure.ms;
    return steps.some(
      (step) =>
        step.startedAt <= endedAt &&
        step.endedAt + UNUSED_MS >= failure.startedAt &&
        step.removed.includes(ownerOf(failure, step.before)),
    );
  }

  test("a backend that is drained first leaves without a failure, and comes back without one", async (t) => {
    await reload({ members: { ...everyone, be3: 5 } });
    await underLoad(0);
    const busy = async () => backendOf(await balancer.status(), "be3").activeFlows > 0;
    await eventually("be3 has flows", busy);
    const { code, stderr } = await balancer.command("drain", "be3", "--timeout", "20s");
    assert.equal(code, 0, stderr);
    const { be3: _, ...others } = everyone;
    await reload({ members: others });
    const { backends } = await requests(lab, 200, { urls: URLS, concurrency: 4 });
    assert.deepEqual(Object.keys(backends), ["be1", "be2", "be4", "be5"]);
    await reload({});
    await eventually("be3 has flows again", busy);
    await checkNothingFailed(t);
  });

  test("a VIP that comes, and goes", async (t) => {
    await underLoad();
    for (let i = 0; i < 3; i++) {
      await reload({ extra: true });
      const extra = { urls: [vipUrl(EXTRA)], concurrency: 4 };
      const { failed, reasons, backends } = await requests(lab, 100, extra);
      assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
      assert.deepEqual(Object.keys(backends), ["be1", "be2"]);
      await reload({});
    }
    await checkNothingFailed(t);
  });

  const others: { what: string; shapes: Shape[] }[] = [
    { what: "the mode: l2, gre, l2, gre, l2", shapes: [{ forward: "gre" }, {}, { forward: "gre" }, {}] },
    { what: "the size of the table", shapes: [{ tableSize: 8191 }, { tableSize: 251 }, {}] },
    { what: "the pool of a VIP", shapes: [{ pool: "other" }, {}, { pool: "other" }, {}] },
  ];
  for (const { what, shapes } of others) {
    test(`${what} changes, and no connection notices`, async (t) => {
      await underLoad();
      for (const shape of shapes) {
        await reload(shape);
        const { vips } = await balancer.status();
        const { forward = "l2", pool = "web" } = shape;
        assert.deepEqual([vips[0]!.forward, vips[0]!.pool], [forward, pool]);
        // Every long-lived connection asks, and new ones come.
        await sleep(4 * ASK_MS);
        const { failed, backends } = await requests(lab, 200, { urls: [URLS[0]!], concurrency: 4 });
        assert.equal(failed, 0);
        assert.deepEqual(Object.keys(backends), pool === "other" ? UNTOUCHED : Object.keys(everyone));
      }
      await checkNothingFailed(t);
    });
  }

  test("every change is in the audit log, and all that is in force was counted", async () => {
    assert.equal(await generation(), 1 + applied);
    const state = join(balancer.folder, "state");
    let entries: AuditEntry[] = [];
    await eventually("all entries are written", () => {
      const lines = readFileSync(join(state, "audit.jsonl"), "utf8").trimEnd().split("\n");
      entries = lines.map((line) => JSON.parse(line));
      return entries.filter(({ action }) => action === "reload").length >= applied;
    });
    const count = (wanted: Partial<AuditEntry>) =>
      entries.filter((entry) => Object.entries(wanted).every(([key, value]) => Object(entry)[key] === value))
        .length;
    assert.equal(count({ action: "start" }), 1);
    assert.equal(count({ action: "drain", target: "web/be3", by: "command" }), 1);
    assert.equal(count({ action: "reload", outcome: "applied" }), applied);
    assert.equal(count({ action: "reload", by: "signal" }), reloads / 5);
    assert.equal(entries.length, 2 + applied);
    assert.equal(readFileSync(join(state, "last-good.yaml"), "utf8"), textOf({}));

    await checkFrames(balancer);
    const since = await quietStatus(balancer);
    await requests(lab, 200, { urls: URLS, concurrency: 4 });
    await checkCounters(balancer, since);
    assert.equal((await balancer.stop()).code, 0);
    const complaints = balancer.log.filter(({ level }) => level >= 40);
    assert.deepEqual(complaints, []);
  });
});
