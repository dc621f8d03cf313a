import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { apiPage } from "../../src/admin/document.ts";
import { metricsPage } from "../../src/admin/metrics/document.ts";
import { METRICS } from "../../src/admin/metrics.ts";

const page = (name: string) => readFileSync(new URL(`../../docs/${name}`, import.meta.url), "utf8");

test("docs/api.md is what the routes say", async () => {
  const advice = "write it again: node src/admin/document.ts > docs/api.md";
  assert.equal(page("api.md"), await apiPage(), advice);
});

test("docs/metrics.md is what the metrics say", () => {
  const advice = "write it again: node src/admin/metrics/document.ts > docs/metrics.md";
  assert.equal(page("metrics.md"), metricsPage(), advice);
});

test("queries in docs/metrics.md are of metrics that there are", () => {
  const names = METRICS.flatMap(({ families }) => families).map(({ name }) => name);
  const used = [...page("metrics.md").matchAll(/guideway_\w+/g)].map(([name]) => name);
  assert.deepEqual(
    used.filter((name) => !names.includes(name)),
    [],
  );
  assert.ok(used.length > names.length);
});
