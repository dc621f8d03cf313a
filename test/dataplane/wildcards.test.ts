// Wildcards sorted for lookup: ranges without overlaps, blocks of ports, prefixes around prefixes.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { parseConfig } from "../../src/config/load.ts";
import { expandServices } from "../../src/config/services.ts";
import { portBlocks, wildcardsOf } from "../../src/dataplane/wildcards.ts";
import { runs } from "../runs.ts";

const wildcards = (...vips: { address: string; port: unknown; protocol?: string }[]) =>
  wildcardsOf(
    expandServices(
      parseConfig(
        JSON.stringify({
          pools: { p: { backends: [] } },
          vips: vips.map((vip, i) => ({ name: `v${i}`, pool: "p", ...vip })),
        }),
        "c.yaml",
      ).config,
    ),
  );

suite("wildcards", () => {
  test("a port cuts a range in two, and both what every port has", () => {
    const [one] = wildcards(
      { address: "10.99.0.0/24", port: 0 },
      { address: "10.99.0.0/24", port: "100-199" },
      { address: "10.99.0.0/24", port: [100, 150, 199, 200] },
    );
    const flat = one!.tcp.ranges.map(({ first, last, vipIndex }) => `${first}-${last} v${vipIndex}`);
    assert.deepEqual(flat, [
      "0-99 v0",
      "100-100 v2",
      "101-149 v1",
      "150-150 v2",
      "151-198 v1",
      "199-199 v2",
      "200-200 v2",
      "201-65535 v0",
    ]);
    assert.deepEqual(one!.udp, { number: 0, ranges: [] });
  });

  test("the ends of the ports", () => {
    const [one] = wildcards(
      { address: "10.99.0.1", port: 0 },
      { address: "10.99.0.1", port: ["1-1000", "64536-65535"] },
    );
    const flat = one!.tcp.ranges.map(({ first, last, vipIndex }) => `${first}-${last} v${vipIndex}`);
    assert.deepEqual(flat, ["0-0 v0", "1-1000 v1", "1001-64535 v0", "64536-65535 v1"]);
  });

  test("the parent is the longest prefix around, of the same family", () => {
    const all = wildcards(
      { address: "10.0.0.0/8", port: 80 },
      { address: "10.99.0.0/24", port: 80 },
      { address: "10.99.0.0/16", port: 80 },
      { address: "10.99.0.7", port: "80-81" },
      { address: "10.99.1.7", port: 0 },
      { address: "a00::/16", port: 80 },
      { address: "11.0.0.0/8", port: 80 },
    );
    const parents = all.map(({ address, parent }) => [
      address,
      parent === undefined ? "" : all[parent]!.address,
    ]);
    assert.deepEqual(parents, [
      ["10.0.0.0/8", ""],
      ["10.99.0.0/24", "10.99.0.0/16"],
      ["10.99.0.0/16", "10.0.0.0/8"],
      ["10.99.0.7", "10.99.0.0/24"],
      ["10.99.1.7", "10.99.0.0/16"],
      ["a00::/16", ""],
      ["11.0.0.0/8", ""],
    ]);
  });

  test("a prefix has an address service of its own, one address has it elsewhere", () => {
    const all = wildcards({ address: "10.99.0.0/24", port: 80 }, { address: "10.99.0.7", port: 0 });
    assert.deepEqual(
      all.map(({ addressService }) => addressService?.number),
      [1, undefined],
    );
  });

  test("services of one address and port are none", () => {
    assert.deepEqual(wildcards({ address: "10.99.0.1", port: [80, 443] }), []);
  });

  test("blocks make up a range, whatever it is", () => {
    const port = fc.nat(65535);
    fc.assert(
      fc.property(port, port, (a, b) => {
        const [first, last] = [Math.min(a, b), Math.max(a, b)];
        let next = first;
        for (const block of portBlocks({ first, last })) {
          const size = 2 ** (16 - block.bits);
          assert.equal(block.first, next);
          assert.equal(block.first % size, 0, "a block starts at a multiple of its size");
          next += size;
        }
        assert.equal(next, last + 1);
        assert.ok(portBlocks({ first, last }).length <= 30);
      }),
      { numRuns: 500, seed: runs.seed },
    );
    assert.deepEqual(portBlocks({ first: 0, last: 65535 }), [{ first: 0, bits: 0 }]);
    assert.deepEqual(portBlocks({ first: 80, last: 80 }), [{ first: 80, bits: 16 }]);
  });
});
