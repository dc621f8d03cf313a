// A reload that the self-test finds fault with. The fault is real: one of the tables that it has brought is damaged as soon as
// it is in the arena, before the test. A worker that is held for that moment makes sure of the order.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { parse, stringify } from "yaml";
import * as L from "../../assembly/layout.ts";
import type { AuditEntry } from "../../src/control/history.ts";
import { Lab } from "../../src/lab/lab.ts";
import { startServers, vipUrl } from "../../src/lab/traffic.ts";
import { skipReason } from "../lab/machine.ts";
import { ForeignArena } from "./arena.ts";
import { type Balancer, eventually, startBalancer } from "./harness.ts";
import { checkUnharmed, metric, statusText, written } from "./observed.ts";
import {
  backendOf,
  checkCounters,
  configOf,
  e2ePrefix,
  poolOf,
  quietStatus,
  requests,
  VIP,
} from "./setup.ts";
import { Traffic } from "./traffic.ts";
import { stopWorker } from "./worker-thread.ts";

const OPTIONS = { skip: skipReason(), timeout: 120_000 };
/** The damage is found and mended in one round; the test must not have enough of them to forget it. */
const FORWARDER = { interval: "250ms", timeout: "2s", rise: 10, fall: 10 };
/** What the held worker has waits for it meanwhile: late, but not lost. */
const LATE_MS = 10_000;
const EXTRA = "10.99.0.3";
/** In the order of the configuration. */
const EXTRA_VIP = 2;

interface Document {
  pools: Record<string, { backends: { name: string; weight?: number }[] }>;
  vips: object[];
}

suite("a reload that is rolled back", OPTIONS, () => {
  let lab: Lab;
  let balancer: Balancer;
  let traffic: Traffic;

  before(async () => {
    lab = await Lab.up({ prefix: e2ePrefix(), backends: 3, queues: 2, vips: [...Object.values(VIP), EXTRA] });
    await startServers(lab);
    const document = configOf(lab, { workers: 2, pools: { web: poolOf(lab) } });
    balancer = await startBalancer(lab, "lb1", { ...document, forwarder: FORWARDER });
    // Who leaves the configuration for a moment has no flows.
    for (const argv of [
      ["drain", "be3"],
      ["weight", "web/be1", "5"],
    ]) {
      const { code, stderr } = await balancer.command(...argv);
      assert.equal(code, 0, stderr);
    }
    await eventually("it is healthy", async () => (await balancer.status()).forwarder.healthy);
    traffic = new Traffic(lab, { timeoutMs: LATE_MS });
    await traffic.flows();
  });
  after(async () => {
    await traffic?.stop();
    await balancer?.close();
    await lab?.down();
  });

  /** Other weights, a backend less, and one more VIP with a pool of its own. */
  function nextText(): string {
    const { pools, vips, ...others } = parse(readFileSync(balancer.file, "utf8")) as Document;
    const [be1, be2] = pools.web!.backends as [{ name: string }, { name: string }];
    const extra = { name: "extra", address: EXTRA, protocol: "tcp", port: 80, pool: "extra" };
    const web = {
      backends: [
        { ...be1, weight: 9 },
        { ...be2, weight: 2 },
      ],
    };
    return stringify({ ...others, pools: { web, extra: { backends: [be1] } }, vips: [...vips, extra] });
  }

  /** Reloads, and damages the table of the new VIP. @returns why it ended */
  async function reloadDamaged(): Promise<Error> {
    const arena = new ForeignArena(balancer.pid);
    const services = arena.services();
    const held = await stopWorker(balancer.pid);
    try {
      const end = balancer.admin.reload({}).then(
        () => assert.fail("it was taken over"),
        (error: Error) => error,
      );
      await eventually("the new VIP is in force", () => arena.services() !== services, LATE_MS, 1);
      arena.setWord(arena.table(EXTRA_VIP) + L.TABLE_SLOTS + 4 * 100, 0xffffffff);
      held.kill();
      return await end;
    } finally {
      held.kill();
      arena.close();
    }
  }

  const web = async () => {
    const status = await balancer.status();
    return status.pools[0]!.backends.map(({ name, weight, state, asked, id }) => ({
      name,
      weight,
      state,
      asked,
      id,
    }));
  };

  test("what was in force is so again, with what commands have set; status, metrics and audit log say so", async (t) => {
    const before = await web();
    const kept = readFileSync(balancer.file, "utf8");
    writeFileSync(balancer.file, nextText());
    const { message } = await reloadDamaged();
    t.diagnostic(message);
    assert.match(message, /failed its self-test \(.*extra.*\): the one before is in force again/);

    const { configuration, vips, pools, forwarder } = await balancer.status();
    assert.deepEqual([configuration.generation, configuration.refused?.code], [1, "ROLLED_BACK"]);
    assert.deepEqual(
      vips.map(({ name }) => name),
      ["web", "web-v6"],
    );
    assert.equal(pools.length, 1);
    assert.ok(forwarder.tables.corrupted > 0);
    const text = await statusText(balancer);
    assert.match(text, /^ {2}LAST CHANGE REFUSED at .* \(ROLLED_BACK\):$/m);
    assert.equal(await metric(balancer, "guideway_configuration_refused"), 1);
    await written(balancer);
    const state = join(balancer.folder, "state");
    const lines = readFileSync(join(state, "audit.jsonl"), "utf8").trimEnd().split("\n");
    const entry = JSON.parse(lines.at(-1)!) as AuditEntry;
    assert.deepEqual([entry.action, entry.by, entry.outcome], ["reload", "command", "rolled back"]);
    assert.equal(readFileSync(join(state, "last-good.yaml"), "utf8"), kept);

    assert.deepEqual(
      before.map(({ id, ...each }) => each),
      (await web()).map(({ id, ...each }) => each),
    );
    const [be1, , be3] = before;
    assert.deepEqual([be1!.weight, be3!.state, be3!.asked], [5, "draining", "draining"]);
    const share = backendOf(await balancer.status(), "be1").share;
    assert.ok(Math.abs(share - 5 / 6) < 0.01, `${share}`);
    await eventually("it is healthy again", async () => (await balancer.status()).forwarder.healthy);
  });

  test("it has cost no request, and the same reload is good where nothing is damaged", async (t) => {
    await traffic.flows();
    traffic.checkUnharmed();
    const { code, stderr } = await balancer.command("reload");
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(await statusText(balancer), /REFUSED/);
    const { configuration } = await balancer.status();
    assert.deepEqual([configuration.generation, configuration.refused], [2, undefined]);
    await checkUnharmed(t, balancer, traffic, async () => {
      const since = await quietStatus(balancer);
      await requests(lab, 200, {
        urls: Object.values(VIP).map((address) => vipUrl(address)),
        concurrency: 4,
      });
      await checkCounters(balancer, since);
    });
  });
});
