// The table heap against a map of every line: blocks never overlap, none is lost, and freed room comes together again.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { LINE } from "../../assembly/layout.ts";
import { TableHeap } from "../../src/dataplane/heap.ts";

const LINES = 64;
const region = { offset: 4096, bytes: LINES * LINE };

/** Allocates so many bytes, or frees the n-th block there is. */
const step = fc.oneof(
  fc.record({ allocate: fc.integer({ min: 1, max: 12 * LINE }) }),
  fc.record({ free: fc.nat(20) }),
);

suite("table heap", () => {
  test("any sequence: blocks are whole lines of the region that nobody else has, taken from the front", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100, size: "max" }), (steps) => {
        const heap = new TableHeap(region);
        const taken = new Array<boolean>(LINES).fill(false);
        const blocks: { offset: number; lines: number }[] = [];
        /** First place with so many free lines in a row. */
        const firstFit = (lines: number) => {
          for (let at = 0; at + lines <= LINES; at++) {
            if (taken.slice(at, at + lines).every((each) => !each)) return at;
          }
          return undefined;
        };
        for (const each of steps) {
          if ("allocate" in each) {
            const lines = Math.ceil(each.allocate / LINE);
            const place = firstFit(lines);
            assert.equal(heap.hasRoom(each.allocate), place !== undefined);
            if (place === undefined) {
              assert.throws(() => heap.allocate(each.allocate), { code: "TABLE_HEAP" });
              continue;
            }
            const offset = heap.allocate(each.allocate);
            assert.equal(offset, region.offset + place * LINE);
            taken.fill(true, place, place + lines);
            blocks.push({ offset, lines });
          } else if (blocks.length > 0) {
            const [block] = blocks.splice(each.free % blocks.length, 1);
            heap.free(block!.offset);
            const place = (block!.offset - region.offset) / LINE;
            taken.fill(false, place, place + block!.lines);
          }
          assert.equal(heap.used, taken.filter(Boolean).length * LINE);
        }
        for (const { offset } of blocks) heap.free(offset);
        assert.equal(heap.used, 0);
        assert.equal(heap.allocate(region.bytes), region.offset, "all of it is one gap again");
      }),
      { numRuns: 300, seed: 20161 },
    );
  });

  test("what is no block cannot be freed, and no block twice", () => {
    const heap = new TableHeap(region);
    const block = heap.allocate(100);
    assert.throws(() => heap.free(block + LINE), { code: "TABLE_HEAP" });
    heap.free(block);
    assert.throws(() => heap.free(block), { code: "TABLE_HEAP" });
  });
});
