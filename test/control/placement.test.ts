// Hints about where workers run, from made-up machines.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { suite, type TestContext, test } from "node:test";
import { parseConfig } from "../../src/config/load.ts";
import { countReason, placementHints } from "../../src/control/placement.ts";

const configOf = (workers: string) =>
  parseConfig(`interfaces: [eth0]\nworkers: ${workers}\npools: {}\nvips: []\n`, "t.yaml").config;

/** Two nodes of four CPUs, eth0 on the second. */
const TWO_NODES = {
  "proc/self/status": "Name:\tnode\nCpus_allowed_list:\t0-7\n",
  "sys/class/net/eth0/device/numa_node": "1\n",
  "sys/devices/system/node/node1/cpulist": "4-7\n",
};
const IRQS = {
  "sys/class/net/eth0/device/msi_irqs/40": "msix",
  "sys/class/net/eth0/device/msi_irqs/41": "msix",
  "proc/irq/40/effective_affinity_list": "4\n",
  "proc/irq/41/effective_affinity_list": "0-1\n",
};

function hints(t: TestContext, workers: string, count: number, files: Record<string, string>): string[] {
  const root = mkdtempSync(join(tmpdir(), "guideway-placement-"));
  t.after(() => rmSync(root, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return placementHints(configOf(workers), count, root);
}

suite("where workers run", () => {
  test("nothing to say: nothing known, or all well", (t) => {
    assert.deepEqual(hints(t, "{ cpus: [4, 5] }", 2, {}), []);
    assert.deepEqual(hints(t, "{ cpus: [4, 5] }", 2, TWO_NODES), []);
    assert.deepEqual(hints(t, "{ count: 8 }", 8, { ...TWO_NODES, ...IRQS }), []);
  });

  test("CPUs of another node, and those that may not be used", (t) => {
    const [far, ...none] = hints(t, "{ cpus: [1, 4] }", 2, TWO_NODES);
    assert.match(
      far!,
      /^workers\.cpus: CPUs 1 are not on the NUMA node of eth0, which is node 1 \(CPUs 4-7\)/,
    );
    assert.deepEqual(none, []);
    const [denied] = hints(t, "{ cpus: [9] }", 1, { "proc/self/status": TWO_NODES["proc/self/status"] });
    assert.match(denied!, /^workers\.cpus: this process may not use CPU 9 \(it may use 0-7\)/);
  });

  test("interrupts that go elsewhere", (t) => {
    const [elsewhere, ...none] = hints(t, "{ cpus: [4, 5] }", 2, { ...TWO_NODES, ...IRQS });
    assert.match(elsewhere!, /^interrupts of eth0 go to CPUs 0-1 too, .* to CPUs 4-5/);
    assert.deepEqual(none, []);
    assert.deepEqual(hints(t, "{ cpus: [4, 5], busyPoll: true }", 2, { ...TWO_NODES, ...IRQS }), []);
  });

  test("more workers than CPUs, and all of them busy", (t) => {
    assert.match(hints(t, "{ count: 9 }", 9, TWO_NODES)[0]!, /^9 workers share 8 CPUs/);
    assert.match(
      hints(t, "{ count: 8, busyPoll: true }", 8, TWO_NODES)[0]!,
      /^workers\.busyPoll: 8 workers keep all 8/,
    );
  });

  test("why there are so many", () => {
    assert.equal(countReason(configOf("{ count: 3 }")), "workers.count says so");
    assert.equal(countReason(configOf("{ cpus: [1, 3] }")), "auto: one for each of workers.cpus (1, 3)");
    assert.match(countReason(configOf("{}")), /^auto: one for each CPU that this process may use \(\d+\)$/);
  });
});
