// A full disk below `change.state`: a tmpfs of a few pages, which ends with the balancer's mount namespace.

import assert from "node:assert/strict";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import type { AuditEntry } from "../../src/control/history.ts";
import { Lab } from "../../src/lab/lab.ts";
import { startServers } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, eventually, newFolder, startBalancer } from "./harness.ts";
import { checkUnharmed, metric, statusText, written } from "./observed.ts";
import { configOf, e2ePrefix, poolOf } from "./setup.ts";
import { Traffic } from "./traffic.ts";

const OPTIONS = { skip: skipReason(), timeout: 120_000 };
/** What a tmpfs allocates at once: entries fill the rest of a page, and the one that crosses its end does not fit. */
const PAGE = 4096;
const PAGES = 16;
/** It is tried again every five seconds. */
const RETRY_MS = 7000;
/** What a busy machine may take to answer. */
const LATE_MS = 3000;
/** Drains and undrains: more than a page of entries. */
const CHANGES = 60;

suite("a full disk for audit log and last good configuration", OPTIONS, () => {
  const folder = newFolder();
  const state = join(folder, "state");
  let lab: Lab;
  let balancer: Balancer;
  let traffic: Traffic;

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 3, queues: 2 });
    await startServers(lab);
    mkdirSync(state);
    const script = `mount -t tmpfs -o size=${PAGES * PAGE},mode=700 none "$0" && (head -c ${PAGES * PAGE} /dev/zero >"$0/filler" || :) && exec "$@"`;
    balancer = await startBalancer(lab, "lb1", configOf(lab, { workers: 2, pools: { web: poolOf(lab) } }), {
      folder,
      wrap: (argv) => ["sh", "-c", script, state, ...argv],
    });
    traffic = new Traffic(lab, { timeoutMs: LATE_MS });
    await traffic.flows();
  });
  after(async () => {
    await traffic?.stop();
    await balancer?.close();
    await lab?.down();
  });

  /** A file of the folder as the balancer sees it. */
  const file = (name: string) => join(`/proc/${balancer.pid}/root`, state, name);
  const files = () => readdirSync(file(".")).sort();
  const text = (name: string) => readFileSync(file(name), "utf8");
  const configuration = () => readFileSync(balancer.file, "utf8");

  /** The audit log: every line is an entry. */
  function entries(): AuditEntry[] {
    const lines = text("audit.jsonl").split("\n");
    assert.equal(lines.pop(), "", "the last line is whole");
    return lines.map((line) => JSON.parse(line) as AuditEntry);
  }

  async function checkFailed(names: { audit: boolean; lastGood: boolean }): Promise<void> {
    const { audit, lastGood } = (await balancer.status()).history;
    assert.equal(/ENOSPC/.test(audit.error ?? ""), names.audit, `audit.jsonl: ${audit.error}`);
    assert.equal(/ENOSPC/.test(lastGood.error ?? ""), names.lastGood, `last-good.yaml: ${lastGood.error}`);
    const shown = await statusText(balancer);
    for (const [each, isFailed, label] of [
      [audit, names.audit, "audit"],
      [lastGood, names.lastGood, "last-good"],
    ] as const) {
      assert.equal(shown.includes(`CANNOT BE WRITTEN: ${each.file} (ENOSPC`), isFailed, shown);
      assert.equal(await metric(balancer, "guideway_state_file_failed", { file: label }), isFailed ? 1 : 0);
    }
  }

  /** Writes another configuration. */
  function reweigh(weight: number): void {
    const next = configuration().replace(
      /- name: be2\n( +weight: \d+\n)?/,
      `- name: be2\n        weight: ${weight}\n`,
    );
    writeFileSync(balancer.file, next);
  }

  async function change(i: number): Promise<void> {
    const { code, stderr } = await balancer.command(i % 2 === 0 ? "drain" : "undrain", "be3");
    assert.equal(code, 0, stderr);
  }

  test("a start: it serves, and says what cannot be written", async () => {
    await checkFailed({ audit: true, lastGood: true });
    assert.equal((await balancer.status()).history.audit.pending, 1);
    assert.ok(
      !existsSync(file("last-good.yaml")) && !existsSync(file("last-good.yaml.next")),
      files().join(),
    );
    const failures = balancer.log.filter(({ msg }) => msg === "cannot be written; traffic goes on");
    assert.equal(failures.length, 2, "once for each file");
  });

  test("reload, drain, undrain and weight work", async () => {
    await change(0);
    await change(1);
    reweigh(2);
    const weight = await balancer.command("weight", "web/be1", "3");
    assert.equal(weight.code, 0, weight.stderr);
    const reload = await balancer.command("reload");
    assert.equal(reload.code, 0, reload.stderr);
    const { history, forwarder } = await balancer.status();
    assert.deepEqual([history.audit.pending, history.audit.lost], [5, 0]);
    assert.ok(forwarder.healthy);
    const audit = await balancer.command("audit");
    assert.match(audit.stdout, /drain.*\n(.*\n)*.*undrain.*\n(.*\n)*.*weight.*\n(.*\n)*.*reload/);
    await traffic.flows();
    traffic.checkUnharmed();
  });

  test("room again: everything is written by itself, whole and in order", async (t) => {
    rmSync(file("filler"));
    const startMs = performance.now();
    await written(balancer, RETRY_MS);
    t.diagnostic(`after ${Math.round(performance.now() - startMs)} ms`);
    await checkFailed({ audit: false, lastGood: false });
    const actions = entries().map(({ action, outcome }) => `${action} ${outcome}`);
    const expected = [
      "start applied",
      "drain applied",
      "undrain applied",
      "weight applied",
      "reload applied",
    ];
    assert.deepEqual(actions, expected);
    assert.equal(text("last-good.yaml"), configuration());
    assert.deepEqual(files(), ["audit.jsonl", "last-good.yaml"]);
  });

  test("full in the middle of an entry: what fits is written, what does not leaves no half line", async (t) => {
    const before = entries().length;
    // The rest of the page that the audit log has begun stays.
    assert.throws(() => appendFileSync(file("filler"), Buffer.alloc(PAGES * PAGE)), { code: "ENOSPC" });
    const kept = text("last-good.yaml");
    let done = 0;
    while (done < CHANGES) {
      await balancer.setBackendState("web", "be3", done++ % 2 === 0 ? "draining" : "active");
    }
    await eventually("it is full", async () => (await balancer.status()).history.audit.error !== undefined);
    reweigh(3);
    assert.equal((await balancer.admin.reload({})).outcome, "applied");
    await eventually("last-good.yaml is not", async () => (await balancer.status()).history.lastGood.error);
    await checkFailed({ audit: true, lastGood: true });
    const { pending } = (await balancer.status()).history.audit;
    const whole = entries().length;
    t.diagnostic(`${whole - before} of ${done + 1} entries fit, ${pending} wait`);
    assert.ok(whole > before && pending > 0);
    assert.equal(whole + pending, before + done + 1);
    assert.equal(text("last-good.yaml"), kept, "the old one is whole");
    assert.ok(!files().includes("last-good.yaml.next"));
    rmSync(file("filler"));
    await change(done);
    await written(balancer);
    assert.equal(entries().length, before + done + 2);
    assert.equal(text("last-good.yaml"), configuration());
    await checkFailed({ audit: false, lastGood: false });
  });

  test("none of it has cost a request", async (t) => {
    const { log } = await checkUnharmed(t, balancer, traffic);
    const errors = log.filter(({ level }) => level >= 40).map(({ msg }) => msg);
    assert.deepEqual([...new Set(errors)], ["cannot be written; traffic goes on"]);
  });
});
