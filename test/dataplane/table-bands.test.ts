// Balance and disruption of tables for 1,000 backends (design §5; Maglev, NSDI 2016, §5.3). Neither depends on the
// hash, so that the bands hold for any names.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { buildMaglev, type TableBackend } from "../../src/dataplane/table-builder.ts";
import { random } from "./random.ts";

const BACKENDS = 1000;
const all: TableBackend[] = Array.from({ length: BACKENDS }, (_, id) => ({
  key: `10.1.${id >> 8}.${id & 255}:80`,
  weight: 1,
  id,
}));

/** Size, and the percentage of slots that change when 1, 5 or 10 % of the backends fail. */
const BANDS = [
  [65537, { 1: 3.3, 5: 8.3, 10: 13.6 }],
  [655373, { 1: 1.6, 5: 5.9, 10: 11.1 }],
] as const;

/** By backend. */
function slotCounts(table: Uint16Array): number[] {
  const counts = new Array<number>(BACKENDS).fill(0);
  for (const id of table) counts[id]!++;
  return counts;
}

for (const [size, bands] of BANDS) {
  suite(`${size} slots for ${BACKENDS} backends`, () => {
    const full = buildMaglev(size, all);

    test("differ by at most 1 per backend", () => {
      const counts = slotCounts(full);
      assert.equal(Math.max(...counts) - Math.min(...counts), 1);
    });

    for (const [failed, expected] of Object.entries(bands)) {
      test(`${failed} % of the backends fail: ${expected} % of the slots change`, () => {
        const chance = random(Number(failed));
        const percentages = [0, 1, 2].map(() => {
          const down = new Set<number>();
          while (down.size < (BACKENDS * Number(failed)) / 100) down.add(Math.floor(chance() * BACKENDS));
          const rest = buildMaglev(
            size,
            all.filter(({ id }) => !down.has(id)),
          );
          assert.ok(rest.every((id) => !down.has(id)));
          return (full.reduce((count, id, slot) => count + Number(id !== rest[slot]), 0) / size) * 100;
        });
        const mean = percentages.reduce((sum, each) => sum + each) / percentages.length;
        const where = `${percentages.map((each) => each.toFixed(2)).join(", ")} %`;
        assert.ok(Math.abs(mean - expected) < 0.35, where);
      });
    }
  });
}

suite("weights", () => {
  test("shares are those of the weights, within a slot and half a percent", () => {
    const weighted = all.slice(0, 100).map((each) => ({ ...each, weight: 1 + (each.id % 10) }));
    const total = weighted.reduce((sum, { weight }) => sum + weight, 0);
    const counts = slotCounts(buildMaglev(65537, weighted));
    for (const { id, weight } of weighted) {
      const fair = (65537 * weight) / total;
      assert.ok(
        Math.abs(counts[id]! - fair) <= 1 + fair * 0.005,
        `weight ${weight}: ${counts[id]} slots, fair are ${fair.toFixed(1)}`,
      );
    }
  });

  test("a weight that falls gives slots away, and its backend takes none from others", () => {
    const before = buildMaglev(
      65537,
      all.slice(0, 10).map((each) => ({ ...each, weight: 10 })),
    );
    const lighter = all.slice(0, 10).map((each) => ({ ...each, weight: each.id === 3 ? 5 : 10 }));
    const after = buildMaglev(65537, lighter);
    const gained = after.reduce((count, id, slot) => count + Number(id === 3 && before[slot] !== 3), 0);
    assert.ok(slotCounts(after)[3]! < slotCounts(before)[3]!);
    assert.ok(gained < 65537 * 0.01, `${gained} slots`);
  });
});
