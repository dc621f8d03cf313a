// Runs a suite as its users do, quickly, and returns what it printed.

import assert from "node:assert/strict";
import { guideway } from "../commands/guideway.ts";

/** What every result carries. */
interface Provenance {
  machine: Record<string, unknown>;
  date: string;
  commit?: string;
  disturbance: number;
}

export function quickBench<Result>(suite: string, ...options: string[]): Result & Provenance {
  const { status, stdout, stderr } = guideway(["bench", suite, "--quick", "--json", ...options]);
  assert.equal(status, 0, stderr);
  const result = JSON.parse(stdout) as Result & Provenance;
  assert.deepEqual(Object.keys(result.machine), ["cpu", "cores", "memoryGiB", "kernel", "node", "v8"]);
  assert.ok(result.disturbance >= 0 && result.disturbance <= 1);
  assert.ok(Math.abs(Date.parse(result.date) - Date.now()) < 600_000, result.date);
  return result;
}
