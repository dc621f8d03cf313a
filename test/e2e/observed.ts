// What an operator sees of a balancer: its metrics, and the text of `guideway status`.

import assert from "node:assert/strict";
import { labelled, readMetrics } from "../admin/exposition.ts";
import { ask } from "../admin/serve.ts";
import type { Balancer } from "./harness.ts";

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

export async function statusText(balancer: Balancer): Promise<string> {
  const { code, stdout, stderr } = await balancer.command("status");
  assert.equal(code, 0, stderr);
  return stdout;
}
