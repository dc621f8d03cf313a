// Files that are not as they should be: a state folder that cannot be written, and configuration files with errors, read at
// the start, on SIGHUP and because somebody has saved one. Nothing of it costs a request.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, type TestContext, test } from "node:test";
import type { AuditEntry } from "../../src/control/history.ts";
import { Lab } from "../../src/lab/lab.ts";
import { startServers } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { type Balancer, type BalancerOptions, eventually, newFolder, startBalancer } from "./harness.ts";
import { checkUnharmed, metric, statusText, written } from "./observed.ts";
import { configOf, e2ePrefix, poolOf } from "./setup.ts";
import { Traffic } from "./traffic.ts";

const OPTIONS = { skip: skipReason(), timeout: 120_000 };
/** What could not be written is tried again every five seconds. */
const RETRY_MS = 7000;
/** What a busy machine may take to answer. */
const LATE_MS = 3000;

suite("broken files", OPTIONS, () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 3, queues: 2 });
    await startServers(lab);
  });
  after(() => lab?.down());

  const config = () => configOf(lab, { pools: { web: poolOf(lab) } });
  const broken = () => ({ ...config(), visp: [] });

  /** A balancer for a test, and clients of it that nothing may happen to. */
  async function serving(t: TestContext, document: object, options: BalancerOptions) {
    const balancer = await startBalancer(lab, "lb1", document, options);
    t.after(() => balancer.close());
    const traffic = new Traffic(lab, { timeoutMs: LATE_MS });
    t.after(() => traffic.stop());
    await traffic.flows();
    return { balancer, traffic };
  }

  async function checkUnwritten(balancer: Balancer, code: string, pending: number): Promise<void> {
    await eventually("both have failed", async () => {
      const { audit, lastGood } = (await balancer.status()).history;
      return audit.error && lastGood.error && audit.pending === pending;
    });
    const { audit, lastGood } = (await balancer.status()).history;
    const text = await statusText(balancer);
    for (const [label, { file, error }] of Object.entries({ audit, "last-good": lastGood })) {
      assert.match(error!, new RegExp(`^${code}`));
      assert.ok(text.includes(`CANNOT BE WRITTEN: ${file} (${code}`), text);
      assert.equal(await metric(balancer, "guideway_state_file_failed", { file: label }), 1);
    }
  }

  async function commands(balancer: Balancer): Promise<void> {
    for (const argv of [["drain", "be3"], ["undrain", "be3"], ["weight", "web/be1", "2"], ["reload"]]) {
      const { code, stderr } = await balancer.command(...argv);
      assert.equal(code, 0, stderr);
    }
  }

  test("a state folder that cannot be made", async (t) => {
    const folder = newFolder();
    writeFileSync(join(folder, "file"), "");
    const change = { state: join(folder, "file", "state") };
    const { balancer, traffic } = await serving(t, config(), { folder, change });
    await checkUnwritten(balancer, "ENOTDIR", 1);
    await balancer.setBackendState("web", "be3", "draining");
    await balancer.setBackendState("web", "be3", "active");
    await balancer.admin.reload({});
    const { stdout } = await balancer.command("audit");
    assert.equal(stdout.trimEnd().split("\n").length, 5, stdout);
    await checkUnharmed(t, balancer, traffic);
  });

  test("a state folder that can only be read, until it can be written", async (t) => {
    const folder = newFolder();
    const state = join(folder, "state");
    mkdirSync(state);
    const script = 'mount -t tmpfs -o ro,mode=700 none "$0" && exec "$@"';
    const { balancer, traffic } = await serving(t, config(), {
      folder,
      wrap: (argv) => ["sh", "-c", script, state, ...argv],
    });
    await checkUnwritten(balancer, "EROFS", 1);
    await commands(balancer);
    await checkUnwritten(balancer, "EROFS", 5);
    const inside = ["nsenter", "--mount", "--target", `${balancer.pid}`, "mount", "-o", "remount,rw", state];
    await lab.exec("lb1", inside);
    await written(balancer, RETRY_MS);
    const read = (name: string) => readFileSync(join(`/proc/${balancer.pid}/root`, state, name), "utf8");
    const entries = read("audit.jsonl")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as AuditEntry);
    assert.deepEqual(
      entries.map(({ action }) => action),
      ["start", "drain", "undrain", "weight", "reload"],
    );
    assert.equal(read("last-good.yaml"), readFileSync(balancer.file, "utf8"));
    assert.doesNotMatch(await statusText(balancer), /CANNOT BE WRITTEN/);
    await checkUnharmed(t, balancer, traffic);
  });

  test("a broken file at the start: the last good one, and the status says why; then one that is right", async (t) => {
    const folder = newFolder();
    const lastGood = join(folder, "state", "last-good.yaml");
    await (await startBalancer(lab, "lb1", config(), { folder })).stop();
    const kept = readFileSync(lastGood, "utf8");

    await assert.rejects(
      startBalancer(lab, "lb1", broken(), { folder }),
      /it ended with 2.*visp: unknown key/s,
    );
    const parameters = ["--last-good", lastGood];
    const { balancer, traffic } = await serving(t, broken(), { folder, parameters });
    const { configuration } = await balancer.status();
    assert.deepEqual([configuration.file, configuration.generation], [lastGood, 1]);
    const { file, code, message } = configuration.refused!;
    assert.deepEqual([file, code], [balancer.file, "CONFIG"]);
    assert.match(message, /guideway\.yaml:\d+:1: visp: unknown key "visp", did you mean "vips"\?$/);
    await checkRefused(balancer, /visp: unknown key/);
    await eventually("the start is noted", async () => (await balancer.status()).history.audit.writtenAt);
    const audit = readFileSync(join(folder, "state", "audit.jsonl"), "utf8")
      .trimEnd()
      .split("\n");
    const entry = JSON.parse(audit.at(-1)!) as AuditEntry;
    assert.deepEqual([entry.action, entry.target, entry.outcome], ["start", lastGood, "applied"]);
    assert.match(entry.detail, /^generation 1; instead of .*guideway\.yaml, which was refused: .*visp/);
    assert.equal(readFileSync(lastGood, "utf8"), kept);

    // The machine's own file is what SIGHUP reads.
    writeFileSync(balancer.file, `${kept}# mended\n`);
    process.kill(balancer.pid, "SIGHUP");
    await eventually("it is in force", async () => !(await balancer.status()).configuration.refused);
    assert.equal((await balancer.status()).configuration.file, balancer.file);
    assert.equal(await metric(balancer, "guideway_configuration_refused"), 0);
    await eventually("it is kept", () => readFileSync(lastGood, "utf8") === `${kept}# mended\n`);
    await checkUnharmed(t, balancer, traffic);
  });

  test("edits: broken ones are refused, on SIGHUP and when they are saved, and good ones applied", async (t) => {
    const folder = newFolder();
    const { balancer, traffic } = await serving(t, config(), { folder, change: { watch: true } });
    const good = readFileSync(balancer.file, "utf8");
    const generation = async () => (await balancer.status()).configuration.generation;
    const weights = async () => (await balancer.status()).pools[0]!.backends.map(({ weight }) => weight);
    const refusals = async () =>
      (await balancer.admin.audit()).filter(({ outcome }) => outcome === "refused").length;
    const weighed = (weight: number) =>
      good.replace("- name: be1\n", `- name: be1\n        weight: ${weight}\n`);

    await t.test("saved as editors do, by another file in its place", async () => {
      writeFileSync(`${balancer.file}.new`, weighed(5));
      renameSync(`${balancer.file}.new`, balancer.file);
      await eventually("it is in force", async () => (await generation()) === 2);
      assert.deepEqual(await weights(), [5, 1, 1]);
    });
    await t.test("broken when it is saved", async () => {
      writeFileSync(balancer.file, weighed(-5));
      await eventually("it is refused", async () => (await refusals()) === 1);
      await checkRefused(balancer, /guideway\.yaml:\d+:\d+: .*weight/);
    });
    await t.test("still broken on SIGHUP", async () => {
      process.kill(balancer.pid, "SIGHUP");
      await eventually("it is refused", async () => (await refusals()) === 2);
      await checkRefused(balancer, /guideway\.yaml:\d+:\d+: .*weight/);
    });
    await t.test("gone", async () => {
      rmSync(balancer.file);
      await eventually("it is refused", async () => (await refusals()) === 3);
      await checkRefused(balancer, /guideway\.yaml: there is no such file/);
      assert.deepEqual([await generation(), await weights()], [2, [5, 1, 1]]);
    });
    await t.test("right again", async () => {
      writeFileSync(balancer.file, weighed(7));
      await eventually("it is in force", async () => (await generation()) === 3);
      assert.deepEqual(await weights(), [7, 1, 1]);
      assert.doesNotMatch(await statusText(balancer), /REFUSED/);
    });
    const entries = (await balancer.admin.audit()).map(
      ({ by, action, outcome }) => `${by} ${action} ${outcome}`,
    );
    assert.deepEqual(entries, [
      "start start applied",
      "file reload applied",
      "file reload refused",
      "signal reload refused",
      "file reload refused",
      "file reload applied",
    ]);
    const lastGood = join(folder, "state", "last-good.yaml");
    await eventually("it is kept", () => readFileSync(lastGood, "utf8") === weighed(7));
    await checkUnharmed(t, balancer, traffic);
  });

  async function checkRefused(balancer: Balancer, reason: RegExp): Promise<void> {
    assert.match((await balancer.status()).configuration.refused!.message, reason);
    const text = await statusText(balancer);
    assert.match(text, /^ {2}LAST CHANGE REFUSED at .* \(CONFIG\):$/m);
    assert.match(text, reason);
    assert.equal(await metric(balancer, "guideway_configuration_refused"), 1);
  }
});
