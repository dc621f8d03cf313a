// `bench health --quick`: that it measures what it says.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { HealthResult } from "../../bench/health.ts";
import { quickBench } from "./bench.ts";

test("bench health", () => {
  const result = quickBench<HealthResult>("health");
  assert.equal(result.backends, 500);
  assert.ok(result.checksPerSecond > 50 && result.checksPerSecond < 700, `${result.checksPerSecond}`);
  assert.equal(result.detectionMs.backends, 5);
  // Three failures a second apart, the first of them up to a second after the port was closed; jitter.
  const { p50, max } = result.detectionMs;
  assert.ok(p50 > 1700 && max < 20_000, `${p50} and ${max} ms`);
  for (const { p50, p99, max } of [result.latenessMs, result.latencyMs]) assert.ok(p50 <= p99 && p99 <= max);
  assert.ok(result.cpuShare.user > 0 && result.cpuShare.system > 0 && result.cpuUsPerCheck > 0);
});
