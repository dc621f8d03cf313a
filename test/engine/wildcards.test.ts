// Flows of VIPs with many addresses and ports while the configuration changes. Which VIP has a packet is
// test/fixtures/services.md and test/engine/model.test.ts.

import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import { parseConfig } from "../../src/config/load.ts";
import { explain } from "../../src/explain/explain.ts";
import { renderExplanation } from "../../src/explain/render.ts";
import { OfflineEngine } from "../../src/io/offline.ts";
import { packet } from "../packets/packet.ts";

const configured = (...vips: { address: string; port: unknown }[]) =>
  parseConfig(
    JSON.stringify({
      conntrack: { flows: 1000 },
      pools: { web: { tableSize: 251, backends: [{ address: "10.0.0.21" }, { address: "10.0.0.22" }] } },
      vips: vips.map((vip, i) => ({ name: `v${i}`, pool: "web", ...vip })),
    }),
    "c.yaml",
  ).config;

const flow = (dst: string, dport: number) =>
  packet().ethernet().ipv4({ src: "192.0.2.1", dst }).tcp({ sport: 40000, dport, flags: "A" }).bytes();

/** A flow is known; its backend is drained, so that only its entry leads there; then the configuration changes. */
async function afterChange(t: TestContext, before: unknown, after: unknown, address = "10.99.0.0/24") {
  const offline = new OfflineEngine(configured({ address, port: before }), { inline: true });
  t.after(() => offline.close());
  const bytes = flow("10.99.0.9", 8050);
  const [first] = await offline.process([{ bytes, timeMs: 0 }]);
  assert.equal(first!.reason, "new");
  const { directory } = offline.engine;
  directory.setBackendState(first!.backend, "draining");
  directory.apply(configured({ address, port: after }));
  const [second] = await offline.process([{ bytes, timeMs: 20 }]);
  return { ...second!, kept: second!.backend === first!.backend };
}

suite("wildcards in the engine", () => {
  for (const [before, after] of [
    ["8000-8099", "8000-8199"],
    ["8000-8099", "8050-8051"],
    ["8000-8099", 0],
    [0, [80, "8000-8099"]],
    ["8000-8099", 8050],
  ]) {
    test(`a flow stays where it is when ports ${before} become ${after}`, async (t) => {
      const { reason, kept } = await afterChange(t, before, after);
      assert.deepEqual({ reason, kept }, { reason: "hit", kept: true });
    });
  }

  test("a flow of a port that has gone is passed", async (t) => {
    assert.equal((await afterChange(t, "8000-8099", "8000-8049")).reason, "not-vip");
  });

  test("a flow whose address gets a VIP of its own is another one from there on", async (t) => {
    const offline = new OfflineEngine(configured({ address: "10.99.0.0/24", port: 0 }), { inline: true });
    t.after(() => offline.close());
    const [bytes, other] = [flow("10.99.0.9", 80), flow("10.99.0.8", 80)];
    await offline.process([bytes, other].map((each) => ({ bytes: each, timeMs: 0 })));
    offline.engine.directory.apply(
      configured({ address: "10.99.0.0/24", port: 0 }, { address: "10.99.0.9", port: 80 }),
    );
    const results = await offline.process([bytes, other].map((each) => ({ bytes: each, timeMs: 20 })));
    assert.deepEqual(
      results.map(({ reason, vip }) => [reason, vip]),
      [
        ["new", 1],
        ["hit", 0],
      ],
    );
  });

  test("explain names the prefix, and the item of its ports", async () => {
    const config = configured(
      { address: "10.99.0.0/24", port: [80, "8000-8099"] },
      { address: "10.99.0.0/24", port: 0 },
    );
    const asked = async (port: number) => {
      const explanation = await explain(config, flow("10.99.0.9", port));
      return { ...explanation.service, vip: explanation.vip?.name, text: renderExplanation(explanation) };
    };
    const range = await asked(8050);
    assert.deepEqual([range.number, range.protocol, range.port, range.vip], [2, "tcp", "8000-8099", "v0"]);
    assert.match(range.text, /mixed from source, destination, service 2 and the secret/);
    assert.match(range.text, /v0: 10\.99\.0\.0\/24\n.*2: tcp port 8000-8099/);
    const every = await asked(8100);
    assert.deepEqual([every.number, every.port, every.vip], [2, 0, "v1"]);
    assert.match(every.text, /2: tcp port any/);
  });
});
