// Plans against the plain model's tables and hashes, and against what a plan means.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import type { Config } from "../../src/config/schema.ts";
import { FlowSample } from "../../src/plan/flow-sample.ts";
import { type Plan, planChange, type VipPlan } from "../../src/plan/plan.ts";
import { maglevTable } from "../model/maglev.ts";
import { configured, type DocumentBackend, numbered, web, webDocument } from "./documents.ts";

/** The addresses in slot order, by the model. */
function addresses({ pools }: Config, pool = "web"): string[] {
  const { tableSize, backends } = pools[pool]!;
  return maglevTable(
    tableSize,
    backends.map(({ name, weight }, id) => ({ id, name, weight })),
  ).map((id) => backends[id]!.address);
}

/** A sample of nothing, where flows do not matter. */
const still = (old: Config, next: Config) => new FlowSample(old, next, "none");
const plan = (old: Config, next: Config) => planChange(old, next, { flows: still(old, next) });
const only = ({ vips }: Plan): VipPlan => {
  assert.equal(vips.length, 1);
  return vips[0]!;
};
const close = (actual: number, expected: number, what?: string) =>
  assert.ok(Math.abs(actual - expected) < 1e-9, `${what ?? "value"}: ${actual}, expected ${expected}`);
const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);

/** What must hold of every plan. */
function check({ vips, moved }: Plan, next: Config): void {
  for (const vip of vips) {
    for (const part of [vip.slotsMoved, vip.flowsMoved]) assert.ok(part >= 0 && part <= 1, `${part}`);
    close(sum(vip.moves.map(({ slots }) => slots)), vip.slotsMoved, "slots of the moves");
    close(sum(vip.moves.map(({ flows }) => flows)), vip.flowsMoved, "flows of the moves");
    for (const { from, to } of vip.moves) assert.notEqual(from, to);
    const total = sum(Object.values(vip.shares));
    if (total !== 0) close(total, 1, "shares");
    if (vip.change === "removed") assert.deepEqual(vip.shares, {});
    else {
      const { backends } = next.pools[vip.pools.after!]!;
      assert.deepEqual(Object.keys(vip.shares).sort(), backends.map(({ name }) => name).sort());
    }
    if (vip.change === "same") assert.deepEqual([vip.slotsMoved, vip.flowsMoved, vip.moves], [0, 0, []]);
  }
  close(moved, Math.max(0, ...vips.flatMap(({ slotsMoved, flowsMoved }) => [slotsMoved, flowsMoved])));
}

const cases: [what: string, before: DocumentBackend[], after: DocumentBackend[]][] = [
  ["one of 100 is removed", numbered(100), numbered(100).toSpliced(36, 1)],
  ["one is added to 10", numbered(10), numbered(11)],
  ["weights change", numbered(5), numbered(5).map((each, i) => ({ ...each, weight: 1 + i }))],
  ["one takes no more flows", numbered(3), numbered(3).map((each, i) => ({ ...each, weight: i }))],
  ["all are replaced", numbered(4), numbered(8).slice(4)],
  ["all go", numbered(4), []],
];

suite("slots", () => {
  for (const [what, before, after] of cases) {
    test(`${what}: as the model's tables differ`, () => {
      const [old, next] = [web(before), web(after)];
      const [slots, nextSlots] = [addresses(old), addresses(next)];
      const name = (address: string | undefined) =>
        [...before, ...after].find((each) => each.address === address)?.name ?? null;
      const differing = slots.flatMap((from, i) =>
        from === nextSlots[i] ? [] : [JSON.stringify({ from: name(from), to: name(nextSlots[i]) })],
      );
      const expected = new Map(
        [...Map.groupBy(differing, (pair) => pair)].map(([pair, each]) => [pair, each.length / slots.length]),
      );
      const found = only(plan(old, next));
      close(found.slotsMoved, differing.length / slots.length);
      assert.equal(found.moves.length, expected.size);
      for (const { from, to, slots } of found.moves)
        close(slots, expected.get(JSON.stringify({ from, to }))!, `${from} > ${to}`);
      const parts = found.moves.map(({ slots }) => slots);
      assert.deepEqual(
        parts,
        parts.toSorted((a, b) => b - a),
        "largest first",
      );
      for (const { name, address } of after)
        close(found.shares[name]!, nextSlots.filter((each) => each === address).length / nextSlots.length);
      check({ ...plan(old, next) }, next);
    });
  }

  test("tables of different sizes are compared by hash", () => {
    const [old, next] = [web(numbered(5), { tableSize: 251 }), web(numbered(5), { tableSize: 509 })];
    const [slots, nextSlots] = [addresses(old), addresses(next)];
    let moved = 0;
    const steps = slots.length * nextSlots.length;
    for (let i = 0; i < steps; i++)
      if (slots[Math.floor(i / nextSlots.length)] !== nextSlots[Math.floor(i / slots.length)]) moved++;
    close(only(plan(old, next)).slotsMoved, moved / steps);
  });

  test("what is only called otherwise goes nowhere else", () => {
    const document = webDocument(numbered(7));
    const renamed = { pools: { www: document.pools.web }, vips: [{ ...document.vips[0], pool: "www" }] };
    const found = only(plan(configured(document), configured(renamed)));
    assert.deepEqual(found.pools, { before: "web", after: "www" });
    assert.deepEqual([found.change, found.slotsMoved], ["changed", 0]);
    const single = (name: string) => web([{ name, address: "10.0.0.1" }]);
    assert.equal(only(plan(single("one"), single("uno"))).slotsMoved, 0);
  });

  test("a backend with another address is another one, and is told apart", () => {
    const moved = numbered(2).map((each, i) => (i === 0 ? { ...each, address: "10.9.9.9" } : each));
    const found = only(plan(web(numbered(2)), web(moved)));
    close(found.slotsMoved, addresses(web(numbered(2))).filter((each) => each === "10.1.0.1").length / 1009);
    assert.deepEqual(
      found.moves.map(({ from, to }) => [from, to]),
      [["web-1 (10.1.0.1)", "web-1 (10.9.9.9)"]],
    );
  });

  test("a port is part of nothing that a packet goes by", () => {
    const ports = (port: number) => web(numbered(3).map((each) => ({ ...each, port })));
    const found = only(plan(ports(80), ports(8080)));
    assert.deepEqual([found.change, found.slotsMoved], ["changed", 0]);
  });

  test("backends that are not active are in no table", () => {
    const config = web(numbered(4));
    const states = (dead: string) => (_pool: string, name: string) => (name === dead ? "dead" : "active");
    const same = planChange(config, config, { flows: still(config, config), states: states("web-2") });
    assert.equal(only(same).shares["web-2"], 0);
    assert.equal(only(same).change, "same");
    const dies = planChange(config, config, {
      flows: still(config, config),
      states: () => "active",
      statesAfter: states("web-2"),
    });
    const alone = web(numbered(4).toSpliced(1, 1));
    close(only(dies).slotsMoved, only(plan(config, alone)).slotsMoved);
    assert.equal(only(dies).change, "changed");
    assert.deepEqual(dies.pools, [{ pool: "web", keep: ["web-1", "web-3", "web-4"], lose: ["web-2"] }]);
  });

  test("a pool that begins to take flows takes none from anywhere", () => {
    const found = only(plan(web([]), web(numbered(2))));
    assert.deepEqual([found.slotsMoved, found.moves], [0, []]);
  });
});

suite("VIPs", () => {
  const vips = (...names: [name: string, port: number][]) =>
    configured({
      pools: { web: { tableSize: 251, backends: numbered(3) } },
      vips: names.map(([name, port]) => ({ name, port, address: "10.99.0.1", pool: "web" })),
    });

  test("appear, vanish, stay and are renamed", () => {
    const [old, next] = [
      vips(["a", 1], ["b", 2], ["c", 3], ["d", 4]),
      vips(["new", 5], ["bee", 2], ["a", 1], ["d", 6]),
    ];
    const { vips: found } = planChange(old, next);
    assert.deepEqual(
      found.map(({ name, nameBefore, change, slotsMoved, flowsMoved }) => [
        name,
        nameBefore,
        change,
        slotsMoved,
        flowsMoved,
      ]),
      [
        ["new", null, "added", 0, 0],
        ["bee", "b", "changed", 0, 0],
        ["a", "a", "same", 0, 0],
        // Its only service goes.
        ["d", "d", "changed", 0, 1],
        ["c", "c", "removed", 1, 1],
      ],
    );
    assert.equal(found[0]!.pools.before, null);
    assert.deepEqual(
      found[4]!.moves.map(({ to }) => to),
      [null, null, null],
    );
    assert.deepEqual(Object.keys(found[4]!.sharesBefore), ["web-1", "web-2", "web-3"]);
  });

  test("one that is split under other names goes on as the first of them", () => {
    const ports = (name: string, ...port: number[]) => ({ name, port, address: "10.99.0.1", pool: "web" });
    const pools = { web: { tableSize: 251, backends: numbered(3) } };
    const { vips: found } = planChange(
      configured({ pools, vips: [ports("both", 80, 443)] }),
      configured({ pools, vips: [ports("http", 80), ports("https", 443)] }),
    );
    assert.deepEqual(
      found.map(({ name, nameBefore, change, flowsMoved }) => [name, nameBefore, change, flowsMoved]),
      [
        ["http", "both", "changed", 0],
        ["https", null, "added", 0],
      ],
    );
  });

  test("a service that another VIP takes over goes to that one's pool", () => {
    const document = {
      pools: { a: { backends: numbered(1, "a") }, b: { backends: [{ name: "b-1", address: "10.2.0.1" }] } },
      vips: [{ name: "a", address: "10.99.0.1", port: [80, 443], pool: "a" }],
    };
    const [old, next] = [
      configured(document),
      configured({
        ...document,
        vips: [
          { name: "a", address: "10.99.0.1", port: 80, pool: "a" },
          { name: "b", address: "10.99.0.1", port: 443, pool: "b" },
        ],
      }),
    ];
    const [a] = planChange(old, next).vips;
    assert.deepEqual([a!.flowsMoved, a!.slotsMoved], [0.5, 0]);
    assert.deepEqual(a!.moves, [{ from: "a-1", to: "b-1", slots: 0, flows: 0.5 }]);
  });

  test("another mode moves nothing and is a change", () => {
    const machine = { address: "10.0.0.11" };
    const mode = (forward: string) =>
      configured({ machine, ...webDocument(numbered(3), { vip: { forward } }) });
    const found = planChange(mode("l2"), mode("gre"));
    assert.deepEqual([only(found).change, found.moved], ["changed", 0]);
    assert.deepEqual(found.changes, [
      { path: "vips.web.forward", before: "l2", after: "gre", effect: "live" },
    ]);
  });

  test("another seed moves flows, no slots, and needs a restart", () => {
    const found = planChange(web(numbered(10), { seed: 1 }), web(numbered(10), { seed: 2 }));
    const { slotsMoved, flowsMoved, change } = only(found);
    assert.equal(slotsMoved, 0);
    assert.ok(Math.abs(flowsMoved - 0.9) < 0.01, `${flowsMoved}`);
    assert.equal(change, "changed");
    assert.deepEqual(found.restart, [{ path: "hash.seed", before: "0x1", after: "0x2", effect: "restart" }]);
  });
});

suite("any two configurations", () => {
  const backend = fc.record({ id: fc.integer({ min: 1, max: 12 }), weight: fc.nat(3) });
  const pool = fc.record({
    tableSize: fc.constantFrom(2, 7, 31, 251),
    backends: fc.uniqueArray(backend, { selector: ({ id }) => id, maxLength: 8 }),
  });
  const vip = fc.record({
    id: fc.nat(4),
    port: fc.integer({ min: 1, max: 4 }),
    v6: fc.boolean(),
    protocol: fc.constantFrom("tcp", "udp", "any"),
    pool: fc.constantFrom("one", "two"),
  });
  const arbitrary = fc
    .record({
      one: pool,
      two: pool,
      vips: fc.uniqueArray(vip, { selector: ({ id }) => id, maxLength: 4 }),
      seed: fc.nat(1),
    })
    .map(({ one, two, vips, seed }) => {
      const pools = Object.fromEntries(
        Object.entries({ one, two }).map(([name, { tableSize, backends }]) => [
          name,
          {
            tableSize,
            backends: backends.map(({ id, weight }) => ({
              name: `be-${id}`,
              address: `10.0.0.${id}`,
              weight,
            })),
          },
        ]),
      );
      // A port of its own for each VIP keeps services apart.
      const list = vips.map(({ id, port, v6, protocol, pool }) => ({
        name: `vip-${id}`,
        address: v6 ? "fd99::1" : "10.99.0.1",
        port: 10 * id + port,
        protocol,
        pool,
      }));
      return configured({ hash: { seed }, pools, vips: list });
    });

  test("make a plan that adds up", () => {
    fc.assert(
      fc.property(arbitrary, arbitrary, (old, next) => check(plan(old, next), next)),
      { numRuns: 150 },
    );
  });

  test("that are the same move nothing", () => {
    fc.assert(
      fc.property(arbitrary, (config) => {
        const found = plan(config, structuredClone(config));
        assert.deepEqual([found.moved, found.changes, found.restart], [0, [], []]);
        assert.ok(found.vips.every(({ change }) => change === "same"));
      }),
      { numRuns: 50 },
    );
  });
});

suite("generated flows", () => {
  test("move as slots do", () => {
    const found = planChange(
      web(numbered(100), { tableSize: 65537 }),
      web(numbered(100).toSpliced(36, 1), { tableSize: 65537 }),
    );
    const { slotsMoved, flowsMoved, flows } = only(found);
    assert.equal(flows, 100_000);
    assert.ok(Math.abs(slotsMoved - flowsMoved) < 0.002, `${slotsMoved} of slots, ${flowsMoved} of flows`);
    assert.deepEqual(found.sample, { source: "generated", flows: 100_000 });
  });
});
