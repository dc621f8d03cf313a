// Tables on their way: built and staged, discarded or published, in the memory of an engine.

import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import * as L from "../../assembly/layout.ts";
import { parseConfig } from "../../src/config/load.ts";
import { PublishedBlocks } from "../../src/dataplane/published-blocks.ts";
import { type TableSource, Tables } from "../../src/dataplane/tables.ts";
import { OfflineEngine } from "../../src/io/offline.ts";

class Bed {
  readonly offline: OfflineEngine;
  readonly tables: Tables;
  readonly blocks: PublishedBlocks;
  builds = 0;

  constructor(test: TestContext) {
    const { config } = parseConfig("conntrack: { flows: 1000 }\npools: {}\nvips: []\n", "c.yaml");
    this.offline = new OfflineEngine(config, { inline: true });
    test.after(() => this.offline.close());
    const { arena, publication } = this.offline.engine;
    this.blocks = new PublishedBlocks(arena, publication);
    this.tables = new Tables(arena, publication, this.blocks);
  }

  /** A pool whose table has its only backend everywhere. */
  source(pool: string, id: number, weight = 1, size = 13): TableSource {
    const build = () => {
      this.builds++;
      return new Uint16Array(weight > 0 ? size : 0).fill(id);
    };
    return { pool, size, backends: [{ id, weight, name: `b${id}` }], build };
  }

  /** Some record of a pool. */
  record(index: number): number {
    return this.offline.engine.arena.plan.regions.pools.offset + index * L.POOL_BYTES;
  }

  get used(): number {
    return this.offline.engine.heap.used;
  }

  /** What workers would read. */
  inArena(index: number): number[] {
    const { arena } = this.offline.engine;
    const block = arena.word(this.record(index) + L.POOL_TABLE);
    const at = (block + L.TABLE_SLOTS) / 2;
    return [...arena.u16.subarray(at, at + arena.word(block + L.TABLE_SIZE))];
  }
}

suite("tables", () => {
  test("staged: in the heap, and nobody's; published: in its cell; replaced: the old block is free", (t) => {
    const bed = new Bed(t);
    const { used } = bed;
    const [staged] = bed.tables.stage([bed.source("p", 5)]);
    assert.ok(bed.used > used);
    assert.deepEqual(bed.blocks.list(), []);
    bed.tables.publish(staged!, bed.record(0));
    assert.deepEqual(bed.inArena(0), Array(13).fill(5));
    assert.deepEqual([bed.tables.get("p").generation, bed.tables.get("p").entries()[0]], [1, "b5"]);
    const one = bed.used;
    for (const each of bed.tables.stage([bed.source("p", 6)])) bed.tables.publish(each, bed.record(0));
    // A worker that has not run yet may still read the old one: it runs.
    bed.offline.engine.publication.reclaim();
    assert.deepEqual([bed.inArena(0)[0], bed.tables.get("p").generation], [6, 2]);
    assert.equal(bed.blocks.list().length, 1);
    assert.ok(bed.used === one || bed.offline.engine.publication.retired === 1);
  });

  test("the same is not built again", (t) => {
    const bed = new Bed(t);
    for (const each of bed.tables.stage([bed.source("p", 5)])) bed.tables.publish(each, bed.record(0));
    assert.deepEqual(bed.tables.stage([bed.source("p", 5)]), []);
    assert.equal(bed.builds, 1);
    for (const source of [bed.source("p", 5, 2), bed.source("p", 6), bed.source("p", 5, 1, 17)]) {
      const staged = bed.tables.stage([source]);
      assert.equal(staged[0]!.table.generation, 2);
      bed.tables.discard(staged);
    }
  });

  test("no room for one of several: none is in the heap, and it was not built", (t) => {
    const bed = new Bed(t);
    const { used } = bed;
    const large = bed.source("r", 7, 1, 100_000_007);
    assert.throws(() => bed.tables.stage([bed.source("p", 5), bed.source("q", 6), large]), {
      code: "TABLE_HEAP",
    });
    assert.deepEqual([bed.used, bed.builds], [used, 2]);
  });

  test("a defect in building leaves nothing behind", (t) => {
    const bed = new Bed(t);
    const { used } = bed;
    const build = () => {
      throw new Error("broken");
    };
    assert.throws(() => bed.tables.stage([bed.source("p", 5), { ...bed.source("q", 6), build }]), /broken/);
    assert.equal(bed.used, used);
  });

  test("without weight it has no slots, takes hardly any room, and fits where no other does", (t) => {
    const bed = new Bed(t);
    const [staged] = bed.tables.stage([bed.source("p", 5, 0, 100_000_007)]);
    bed.tables.publish(staged!, bed.record(0));
    assert.deepEqual(bed.inArena(0), []);
    assert.equal(bed.tables.get("p").size, 100_000_007);
  });

  test("forgotten: not checked any more, and built anew when it comes again", (t) => {
    const bed = new Bed(t);
    for (const each of bed.tables.stage([bed.source("p", 5)])) bed.tables.publish(each, bed.record(0));
    bed.tables.forget("p", bed.record(0));
    assert.deepEqual(bed.blocks.list(), []);
    const [again] = bed.tables.stage([bed.source("p", 5)]);
    assert.equal(again!.table.generation, 1);
    bed.tables.discard([again!]);
  });
});
