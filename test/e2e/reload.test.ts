// Configurations that follow each other under load: nothing fails on what stays.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { AuditEntry } from "../../src/control/history.ts";
import type { TableStatus } from "../../src/control/status.ts";
import { Lab } from "../../src/lab/lab.ts";
import type { Failure, LoadReport } from "../../src/lab/load.ts";
import { startServers, vipUrl } from "../../src/lab/traffic.ts";
import { random } from "../dataplane/random.ts";
import { skipReason } from "../lab/machine.ts";
import { runs } from "../runs.ts";
import { type Balancer, eventually, startBalancer } from "./harness.ts";
import { ownerOf } from "./ownership.ts";
import {
  documentOf,
  EVERYONE,
  EXTRA,
  type Members,
  Reloader,
  type ReloadWay,
  type Shape,
} from "./reloading.ts";
import {
  backendOf,
  checkCounters,
  checkFrames,
  e2ePrefix,
  lostOpenings,
  quietStatus,
  requests,
  VIP,
} from "./setup.ts";
import { ASK_MS, type HeldLoad, holdLoad } from "./traffic.ts";

const { reloads } = runs.reload;
const OPTIONS = { skip: skipReason(), timeout: 60_000 + reloads * 2000 };
const URLS = [vipUrl(VIP.v4), vipUrl(VIP.v6)];
const UNTOUCHED = ["be1", "be2"];
const TOUCHED = ["be3", "be4", "be5"];
const LONG_LIVED = 40;
/** Openings in a test, of thousands, that may look lost; 30 ms without service cost some six each time. */
const LATE = 2;
/** How long a connection to a backend that left may go unused, on a busy machine. */
const UNUSED_MS = 1000;

/** A reload, and what it took away. */
interface Step {
  startedAt: number;
  endedAt: number;
  before: TableStatus;
  removed: string[];
}

suite("reloads under load", OPTIONS, () => {
  let lab: Lab;
  let balancer: Balancer;
  let load: HeldLoad | undefined;
  let lost = 0;
  let reloader: Reloader;

  before(async () => {
    const vips = [...Object.values(VIP), EXTRA];
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 5, queues: 2, forward: "gre", vips });
    await startServers(lab);
    balancer = await startBalancer(lab, "lb1", documentOf(lab, {}));
    reloader = new Reloader(lab, balancer);
  });
  // TCP hides a packet that is lost from those who ask. Where a machine is busy for a second, an answer looks lost that is late.
  afterEach(async () => {
    await load?.stop();
    load = undefined;
    const before = lost;
    lost = await lostOpenings(lab);
    assert.ok(lost - before <= LATE, `${lost - before} connections had to be opened again`);
  });
  after(async () => {
    await balancer?.close();
    await lab?.down();
  });

  async function underLoad(longLived = LONG_LIVED): Promise<HeldLoad> {
    load = await holdLoad(lab, { longLived, timeoutMs: 3000 });
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
    assert.ok((await active()).every((flows) => flows > 0));
    const next = random(runs.seed);
    const steps: Step[] = [];
    const times: Record<ReloadWay, number[]> = { api: [], command: [], signal: [] };
    let members = EVERYONE;
    let table = await balancer.admin.table("web");
    for (let i = 0; i < reloads; i++) {
      const then = changed(members, next);
      const way = i % 10 === 3 ? "command" : i % 5 === 0 ? "signal" : "api";
      const startedAt = Date.now();
      times[way].push(await reloader.reload({ members: then }, way));
      const removed = Object.keys(members).filter((name) => then[name] === undefined);
      steps.push({ startedAt, endedAt: Date.now(), before: table, removed });
      members = then;
      table = await balancer.admin.table("web");
    }
    assert.ok((await active()).every((flows) => flows > 0));
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
    assert.equal(await reloader.generation(), 1 + reloader.applied);
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
    await reloader.reload({ members: { ...EVERYONE, be3: 5 } });
    await underLoad(0);
    const busy = async () => backendOf(await balancer.status(), "be3").activeFlows > 0;
    await eventually("be3 has flows", busy);
    const { code, stderr } = await balancer.command("drain", "be3", "--timeout", "20s");
    assert.equal(code, 0, stderr);
    const { be3: _, ...others } = EVERYONE;
    await reloader.reload({ members: others });
    const { backends } = await requests(lab, 200, { urls: URLS, concurrency: 4 });
    assert.deepEqual(Object.keys(backends), ["be1", "be2", "be4", "be5"]);
    await reloader.reload({});
    await eventually("be3 has flows again", busy);
    await checkNothingFailed(t);
  });

  test("a VIP that comes, and goes", async (t) => {
    await underLoad();
    for (let i = 0; i < 3; i++) {
      await reloader.reload({ extra: true });
      const extra = { urls: [vipUrl(EXTRA)], concurrency: 4 };
      const { failed, reasons, backends } = await requests(lab, 100, extra);
      assert.deepEqual({ failed, reasons }, { failed: 0, reasons: {} });
      assert.deepEqual(Object.keys(backends), ["be1", "be2"]);
      await reloader.reload({});
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
        await reloader.reload(shape);
        const { vips } = await balancer.status();
        const { forward = "l2", pool = "web" } = shape;
        assert.deepEqual([vips[0]!.forward, vips[0]!.pool], [forward, pool]);
        // Every long-lived connection asks, and new ones come.
        await sleep(4 * ASK_MS);
        const { failed, backends } = await requests(lab, 200, { urls: [URLS[0]!], concurrency: 4 });
        assert.equal(failed, 0);
        assert.deepEqual(Object.keys(backends), pool === "other" ? UNTOUCHED : Object.keys(EVERYONE));
      }
      await checkNothingFailed(t);
    });
  }

  test("every change is in the audit log, and all that is in force was counted", async () => {
    assert.equal(await reloader.generation(), 1 + reloader.applied);
    const state = join(balancer.folder, "state");
    let entries: AuditEntry[] = [];
    await eventually("all entries are written", () => {
      const lines = readFileSync(join(state, "audit.jsonl"), "utf8").trimEnd().split("\n");
      entries = lines.map((line) => JSON.parse(line));
      return entries.filter(({ action }) => action === "reload").length >= reloader.applied;
    });
    const count = (wanted: Partial<AuditEntry>) =>
      entries.filter((entry) => Object.entries(wanted).every(([key, value]) => Object(entry)[key] === value))
        .length;
    assert.equal(count({ action: "start" }), 1);
    assert.equal(count({ action: "drain", target: "web/be3", by: "command" }), 1);
    assert.equal(count({ action: "reload", outcome: "applied" }), reloader.applied);
    assert.equal(count({ action: "reload", by: "signal" }), reloads / 5);
    assert.equal(entries.length, 2 + reloader.applied);
    assert.equal(readFileSync(join(state, "last-good.yaml"), "utf8"), reloader.textOf({}));

    await checkFrames(balancer);
    const since = await quietStatus(balancer);
    await requests(lab, 200, { urls: URLS, concurrency: 4 });
    await checkCounters(balancer, since);
    assert.equal((await balancer.stop()).code, 0);
    const complaints = balancer.log.filter(({ level }) => level >= 40);
    assert.deepEqual(complaints, []);
  });
});
