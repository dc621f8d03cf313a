// What an operator sees of a balancer: its metrics, and the text of `guideway status`; and whether it took harm.

import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { labelled, readMetrics } from "../admin/exposition.ts";
import { ask } from "../admin/serve.ts";
import { type Balancer, type Ending, eventually } from "./harness.ts";
import { checkCounters, checkFrames } from "./setup.ts";
import type { Traffic } from "./traffic.ts";

/** A metric's value; undefined where it has no such sample. */
export async function metric(
  balancer: Balancer,
  name: string,
  labels: Record<string, string> = {},
): Promise<number | undefined> {
  const connect = { socketPath: balancer.socket };
  const { status, text } = await ask("http://localhost/metrics", { connect });
  assert.equal(status, 200, text);
  const family = readMetrics(text).get(name);
  assert.ok(family, `no metric ${name}`);
  return family.samples.get(labelled(labels));
}

/** The balancer has dropped no packet, for whatever reason: a timeout of a client that is long cannot hide one. */
export async function checkNothingDropped(balancer: Balancer): Promise<void> {
  const connect = { socketPath: balancer.socket };
  const { text } = await ask("http://localhost/metrics", { connect });
  const samples = [...readMetrics(text).get("guideway_packets_total")!.samples];
  const drops = samples.filter(([labels]) => labels.includes('verdict="drop"'));
  assert.ok(drops.length > 0, text);
  assert.deepEqual(
    drops.filter(([, count]) => count > 0),
    [],
  );
}

/**
 * The end of a test that must not have cost a request: clients are content, nothing was dropped, frames and counters agree, and the
 * balancer stops as it should.
 * @param checkCounts where counters do not agree from the start on
 */
export async function checkUnharmed(
  t: TestContext,
  balancer: Balancer,
  traffic: Traffic,
  checkCounts = () => checkCounters(balancer),
): Promise<Ending> {
  await traffic.flows();
  traffic.checkUnharmed();
  t.diagnostic(`${traffic.total.ok} requests, none failed`);
  await traffic.stop();
  await checkNothingDropped(balancer);
  await checkCounts();
  await checkFrames(balancer);
  const ending = await balancer.stop();
  assert.equal(ending.code, 0);
  return ending;
}

export async function statusText(balancer: Balancer): Promise<string> {
  const { code, stdout, stderr } = await balancer.command("status");
  assert.equal(code, 0, stderr);
  return stdout;
}

/** Waits until no entry of the audit log waits, and both state files could be written the last time. */
export async function written(balancer: Balancer, limitMs?: number): Promise<void> {
  await eventually(
    "all is written",
    async () => {
      const { audit, lastGood } = (await balancer.status()).history;
      return audit.pending === 0 && audit.error === undefined && lastGood.error === undefined;
    },
    limitMs,
  );
}
