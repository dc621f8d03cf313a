// What an operator sees of a balancer: its metrics, and the text of `guideway status`.

import assert from "node:assert/strict";
import { labelled, readMetrics } from "../admin/exposition.ts";
import { ask } from "../admin/serve.ts";
import { type Balancer, eventually } from "./harness.ts";

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
