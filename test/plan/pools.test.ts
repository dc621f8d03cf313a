// What becomes of present connections.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { FlowSample } from "../../src/plan/flow-sample.ts";
import { type PlanOptions, planChange } from "../../src/plan/plan.ts";
import { connectionsMoved } from "../../src/plan/pools.ts";
import { configured, numbered } from "./documents.ts";

const vip = (name: string, port: number, pool = "web") => ({ name, port, address: "10.99.0.1", pool });
const document = {
  pools: {
    web: { tableSize: 251, backends: numbered(4) },
    dns: { tableSize: 7, backends: numbered(2, "dns") },
  },
  vips: [vip("web", 80), vip("alt", 8080), vip("dns", 53, "dns")],
};
const old = configured(document);
/** Connections by the digit at the end of a backend's name: web-1 has 10. */
const active = (_pool: string, backend: string) => 10 * Number(backend.at(-1));

function moved(next: object, options: PlanOptions = {}) {
  const config = configured({ ...document, ...next });
  const plan = planChange(old, config, { flows: new FlowSample(old, config, "none"), ...options });
  return connectionsMoved(plan, active);
}

suite("present connections", () => {
  test("stay when nothing changes, whatever the weights", () => {
    assert.deepEqual(moved({}), {
      present: 130,
      moved: 0,
      vips: { web: 0, alt: 0, dns: 0 },
      backends: [],
    });
    const weights = numbered(6).map((each, i) => ({ ...each, weight: i }));
    assert.equal(moved({ pools: { ...document.pools, web: { tableSize: 31, backends: weights } } }).moved, 0);
  });

  test("move where their backend vanishes or gets another address", () => {
    const backends = numbered(3).map((each, i) => (i === 1 ? { ...each, address: "10.9.9.9" } : each));
    assert.deepEqual(moved({ pools: { ...document.pools, web: { tableSize: 251, backends } } }), {
      present: 130,
      moved: 60 / 130,
      vips: { web: 0.6, alt: 0.6, dns: 0 },
      backends: [
        { pool: "web", backend: "web-4", connections: 40 },
        { pool: "web", backend: "web-2", connections: 20 },
      ],
    });
  });

  test("all of a VIP that vanishes, and all of a pool with it", () => {
    const gone = moved({ vips: document.vips.slice(0, 1) });
    assert.deepEqual(gone.vips, { web: 0, alt: 1, dns: 1 });
    assert.deepEqual([gone.present, gone.moved], [130, 30 / 130]);
  });

  test("by state: drained backends keep theirs, those that die lose them, those of dead ones are lost already", () => {
    const state = (of: Record<string, "dead" | "draining">) => (_pool: string, name: string) =>
      of[name] ?? "active";
    const states = state({ "web-1": "dead", "web-2": "draining" });
    const same = moved({}, { states });
    assert.deepEqual([same.present, same.moved], [120, 0]);
    const dies = moved({}, { states, statesAfter: state({ "web-1": "dead", "web-3": "dead" }) });
    assert.deepEqual(dies.backends, [{ pool: "web", backend: "web-3", connections: 30 }]);
  });
});
