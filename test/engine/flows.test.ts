// Flows that stay where they are while tables are swapped and backends come and go under them, in a real pool of workers.

import assert from "node:assert/strict";
import { after, beforeEach, suite, test } from "node:test";
import { stringify } from "yaml";
import { parseConfig } from "../../src/config/load.ts";
import { OfflineEngine, type OfflineResult } from "../../src/io/offline.ts";
import { runs } from "../runs.ts";
import { type Flow, nthFlow, packetOf, type Service } from "./collisions.ts";
import { activeFlows, countedEntries, entries } from "./entries.ts";
import { republish } from "./republish.ts";

const BACKENDS = 8;
const { config } = parseConfig(
  stringify({
    conntrack: { flows: 100_000 },
    pools: {
      web: {
        tableSize: 1009,
        backends: Array.from({ length: BACKENDS }, (_, i) => ({
          name: `b${i + 1}`,
          address: `10.0.0.2${i + 1}`,
        })),
      },
    },
    vips: [
      { name: "web", address: "10.99.0.1", port: 80, pool: "web" },
      { name: "dns", address: "10.99.0.1", protocol: "udp", port: 53, pool: "web" },
      { name: "web6", address: "fd99::1", port: 80, pool: "web" },
    ],
  }),
  "flows.yaml",
);
const SERVICES: Service[] = [
  { number: 2, address: "10.99.0.1", protocol: "tcp", port: 80 },
  { number: 3, address: "10.99.0.1", protocol: "udp", port: 53 },
  { number: 5, address: "fd99::1", protocol: "tcp", port: 80 },
];

const flows: Flow[] = Array.from({ length: runs.flows.flows }, (_, n) => nthFlow(SERVICES[n % 3]!, n));
const openings = flows.map((flow) => packetOf(flow, "S"));
const later = flows.map((flow) => packetOf(flow, "A"));

suite("flows stay where they are", () => {
  const engine = new OfflineEngine(config, { workers: 2 });
  const { directory } = engine.engine;
  after(() => engine.close());

  let timeMs = 0;
  /** Backend of each flow. */
  let homes: number[] = [];

  /** One packet of every flow, while `change` is called again and again. */
  async function pass(packets: Uint8Array[], change?: (n: number) => void): Promise<OfflineResult[]> {
    timeMs += 100;
    let over = false;
    const results = engine.process(packets.map((bytes) => ({ bytes, timeMs }))).finally(() => {
      over = true;
    });
    for (let n = 0; change && !over; n++) {
      change(n);
      await new Promise(setImmediate);
    }
    return results;
  }

  /** All flows begin anew, spread over all backends. */
  beforeEach(async () => {
    for (let id = 1; id <= BACKENDS; id++) directory.setBackendState(id, "active");
    timeMs += 24 * 3_600_000;
    const opened = await pass(openings);
    assert.ok(opened.every(({ reason }) => reason === "new"));
    homes = opened.map(({ backend }) => backend);
    for (let id = 1; id <= BACKENDS; id++) assert.ok(homes.includes(id));
  });

  function checkUnmoved(results: OfflineResult[]): void {
    const moved = results.filter(({ reason, backend }, i) => reason !== "hit" || backend !== homes[i]);
    assert.deepEqual(moved.slice(0, 3), []);
  }

  test("when tables are swapped", async () => {
    let swaps = 0;
    for (let i = 0; i < runs.flows.passes; i++) {
      const results = await pass(later, () => {
        republish(directory, "web");
        swaps++;
      });
      checkUnmoved(results);
    }
    assert.ok(swaps >= runs.flows.passes, `${swaps} swaps`);
  });

  test("when backends are drained and taken back, and new flows avoid the drained", async () => {
    const fresh = Array.from({ length: 2000 }, (_, n) => packetOf(nthFlow(SERVICES[0]!, 100_000 + n)));
    for (let i = 0; i < runs.flows.passes; i++) {
      const results = await pass(later, (n) => {
        const id = 1 + ((n >> 1) % BACKENDS);
        directory.setBackendState(id, n % 2 === 0 ? "draining" : "active");
      });
      checkUnmoved(results);
    }
    for (let id = 1; id <= BACKENDS; id++)
      directory.setBackendState(id, id % 2 === 0 ? "draining" : "active");
    const opened = await pass(fresh);
    assert.ok(opened.every(({ reason, backend }) => reason === "new" && backend % 2 === 1));
    checkUnmoved(await pass(later));
  });

  test("a dead backend's flows move, once, and no other", async () => {
    const DEAD = 3;
    directory.setBackendState(DEAD, "dead");
    const results = await pass(later);
    for (const [i, { reason, track, backend }] of results.entries()) {
      if (homes[i] === DEAD) {
        assert.deepEqual([reason, track], ["new", "replaced"]);
        assert.notEqual(backend, DEAD);
      } else {
        assert.deepEqual([reason, backend], ["hit", homes[i]]);
      }
    }
    homes = results.map(({ backend }) => backend);
    checkUnmoved(await pass(later, () => republish(directory, "web")));
    directory.setBackendState(DEAD, "active");
    checkUnmoved(await pass(later));
  });

  test("a backend that dies while its flows are at it: each of them moves once, and no other", async () => {
    const DEAD = 5;
    const during = await pass(later, (n) => {
      if (n === 1) directory.setBackendState(DEAD, "dead");
    });
    directory.setBackendState(DEAD, "dead");
    for (const [i, { reason, backend }] of during.entries()) {
      if (homes[i] !== DEAD || reason === "hit") assert.deepEqual([reason, backend], ["hit", homes[i]]);
      else assert.notEqual(backend, DEAD);
    }
    const after = await pass(later);
    for (const [i, { reason, backend }] of after.entries()) {
      const before = during[i]!.backend;
      if (before !== DEAD) assert.deepEqual([reason, backend], ["hit", before]);
      else assert.ok(reason === "new" && backend !== DEAD);
    }
  });

  test("active flows are counted as they are found, and gone when they expired", async () => {
    const { counted, found } = activeFlows(engine.engine);
    assert.deepEqual(counted, found);
    const expected = Array<number>(BACKENDS + 1).fill(0);
    for (const backend of homes) expected[backend]!++;
    assert.deepEqual(counted, expected);
    assert.equal(countedEntries(engine.engine.arena), entries(engine.engine.arena).length);
    await pass(flows.filter((_, i) => i % 2 === 0 && i % 3 !== 1).map((flow) => packetOf(flow, "F")));
    assert.deepEqual(activeFlows(engine.engine).counted, activeFlows(engine.engine).found);

    // Each worker sweeps when it next looks at the clock, at the latest when it wakes up by itself.
    timeMs += 24 * 3_600_000;
    await pass([packetOf({ ...flows[0]!, service: { ...SERVICES[0]!, address: "10.99.0.9" } })]);
    const until = performance.now() + 5000;
    while (entries(engine.engine.arena).length > 0) {
      assert.ok(performance.now() < until, "the table is empty in time");
      await new Promise(setImmediate);
    }
    assert.deepEqual(activeFlows(engine.engine).counted, Array(BACKENDS + 1).fill(0));
    assert.equal(countedEntries(engine.engine.arena), 0);
  });
});
