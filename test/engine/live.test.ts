// Configurations that change while flows are there: what stays keeps its number and its flows, what leaves is forgotten
// before its number is another's, and what cannot be done changes nothing.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { stringify } from "yaml";
import * as L from "../../assembly/layout.ts";
import { parseConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";
import { OfflineEngine, type OfflineResult } from "../../src/io/offline.ts";
import { macBytes } from "../../src/mac.ts";
import { nthFlow, packetOf } from "./collisions.ts";
import { entries } from "./entries.ts";

const FLOWS = 3000;
const MAC = "02:00:00:00:00:01";

interface Document {
  pools: Record<
    string,
    { tableSize?: number; backends: { name: string; address: string; weight?: number }[] }
  >;
  vips: { name: string; address: string; port: number; pool: string; forward?: string }[];
}

function backends(...numbers: number[]) {
  return numbers.map((n) => ({ name: `b${n}`, address: `10.0.0.${20 + n}` }));
}

function document(change: (document: Document) => void = () => {}): Document {
  const whole: Document = {
    pools: {
      web: { tableSize: 1009, backends: backends(1, 2, 3, 4) },
      other: { tableSize: 251, backends: backends(8, 9) },
    },
    vips: [
      { name: "web", address: "10.99.0.1", port: 80, pool: "web" },
      { name: "other", address: "10.99.0.2", port: 80, pool: "other" },
    ],
  };
  change(whole);
  return whole;
}

function config(change?: (document: Document) => void): Config {
  const text = stringify({ conntrack: { flows: 20_000 }, ...document(change) });
  return parseConfig(text, "live.yaml").config;
}

class Bed {
  readonly offline = new OfflineEngine(config(), { workers: 2, inline: true });
  readonly directory = this.offline.engine.directory;
  readonly publication = this.offline.engine.publication;
  timeMs = 1000;

  apply(change?: (document: Document) => void) {
    const next = config(change);
    for (const { id } of this.directory.admit(next))
      this.directory.setNextHop(id, { mac: macBytes(MAC), interface: 0 });
    return this.directory.apply(next);
  }

  id(pool: string, name: string): number {
    return this.directory.backend(pool, name).id;
  }

  number(address: string): number {
    return this.directory.services.find((each) => each.address === address && each.port === 80)!.number;
  }

  /** A packet of each flow to a VIP. */
  async pass(address: string, flags: string, first = 0): Promise<OfflineResult[]> {
    this.timeMs += 10;
    const service = { number: this.number(address), address, protocol: "tcp", port: 80 } as const;
    const packets = Array.from({ length: FLOWS }, (_, n) => packetOf(nthFlow(service, first + n), flags));
    return this.offline.process(packets.map((bytes) => ({ bytes, timeMs: this.timeMs })));
  }

  /** Lets the workers sweep their tables: the clock goes on in steps that do not expire anything young. */
  async sweep(ms: number, stepMs = 1000): Promise<void> {
    const service = { number: 1, address: "10.99.9.9", protocol: "tcp", port: 80 } as const;
    const nobody = packetOf(nthFlow(service, 0));
    for (let at = 0; at < ms; at += stepMs) {
      this.timeMs += stepMs;
      await this.offline.process([{ bytes: nobody, timeMs: this.timeMs }]);
    }
  }
}

suite("another configuration", () => {
  test("what stays keeps its numbers, and its flows stay, whatever comes and goes around it", async (t) => {
    const bed = new Bed();
    t.after(() => bed.offline.close());
    const opened = await bed.pass("10.99.0.1", "S");
    const before = [1, 2, 3, 4].map((n) => bed.id("web", `b${n}`));
    const { tables, added, removed, services } = bed.apply((next) => {
      next.pools = { first: { tableSize: 13, backends: backends(7) }, ...next.pools };
      next.pools.web!.backends.unshift(...backends(5));
      next.pools.web!.backends[2]!.weight = 3;
      next.vips.unshift({ name: "first", address: "10.99.0.9", port: 80, pool: "first" });
    });
    assert.deepEqual([tables, removed, services.removed], [["first", "web"], [], []]);
    assert.deepEqual(added, [], "they were admitted before");
    assert.deepEqual(
      services.added.map(({ address, port }) => [address, port]),
      [
        ["10.99.0.9", 0],
        ["10.99.0.9", 80],
      ],
    );
    assert.deepEqual(
      [1, 2, 3, 4].map((n) => bed.id("web", `b${n}`)),
      before,
    );
    const later = await bed.pass("10.99.0.1", "A");
    assert.ok(later.every(({ reason, backend }, i) => reason === "hit" && backend === opened[i]!.backend));
    const fresh = await bed.pass("10.99.0.1", "S", FLOWS);
    assert.ok(
      fresh.some(({ backend }) => backend === bed.id("web", "b5")),
      "the new one gets new flows",
    );
    assert.ok((await bed.pass("10.99.0.9", "S")).every(({ backend }) => backend === bed.id("first", "b7")));
    assert.equal(
      bed.apply((next) => {
        next.pools.web!.tableSize = 1009;
      }).tables.length,
      1,
      "only the pool that changes back",
    );
  });

  test("a backend that leaves: its flows move, and no other", async (t) => {
    const bed = new Bed();
    t.after(() => bed.offline.close());
    const opened = await bed.pass("10.99.0.1", "S");
    const gone = bed.id("web", "b2");
    bed.apply((next) => {
      next.pools.web!.backends.splice(1, 1);
    });
    const later = await bed.pass("10.99.0.1", "A");
    for (const [i, { reason, backend }] of later.entries()) {
      if (opened[i]!.backend === gone) assert.ok(reason === "new" && backend !== gone && backend !== 0);
      else assert.deepEqual([reason, backend], ["hit", opened[i]!.backend]);
    }
  });

  test("an id is another's only when no entry has it any more, and counts from zero then", async (t) => {
    const bed = new Bed();
    t.after(() => bed.offline.close());
    await bed.pass("10.99.0.1", "S");
    await bed.pass("10.99.0.1", "A");
    const gone = bed.id("web", "b2");
    const remove = (next: Document) => void next.pools.web!.backends.splice(1, 1);
    bed.apply(remove);
    const early = bed.apply((next) => {
      remove(next);
      next.pools.web!.backends.push(...backends(5));
    });
    assert.notEqual(bed.id("web", "b5"), gone, "entries refer to it still");
    assert.deepEqual(early.removed, []);
    // Two sweeps, each as long as the shortest timeout, 30 s. No entry expires meanwhile: all flows are established.
    assert.ok(entries(bed.offline.engine.arena).some(({ backend }) => backend === gone));
    await bed.sweep(70_000);
    const left = entries(bed.offline.engine.arena);
    assert.ok(left.length > FLOWS / 2 && !left.some(({ backend }) => backend === gone));
    bed.apply((next) => {
      remove(next);
      next.pools.web!.backends.push(...backends(5, 6));
    });
    assert.equal(bed.id("web", "b6"), gone);
    assert.deepEqual(bed.offline.engine.statistics.backend(gone), {
      packets: 0,
      bytes: 0,
      newFlows: 0,
      activeFlows: 0,
    });
  });

  test("a backend at another address is another one: its flows do not follow", async (t) => {
    const bed = new Bed();
    t.after(() => bed.offline.close());
    await bed.pass("10.99.0.1", "S");
    const old = bed.id("web", "b1");
    const slots = [...bed.directory.table("web").entries()];
    bed.apply((next) => {
      next.pools.web!.backends[0]!.address = "10.0.0.99";
    });
    assert.notEqual(bed.id("web", "b1"), old);
    assert.deepEqual(
      bed.directory.table("web").entries(),
      slots,
      "the name is the same, and so is its place",
    );
    const later = await bed.pass("10.99.0.1", "A");
    assert.ok(later.every(({ backend }) => backend !== old && backend !== 0));
  });

  test("a VIP that leaves is nobody's, and one that comes counts from zero", async (t) => {
    const bed = new Bed();
    t.after(() => bed.offline.close());
    await bed.pass("10.99.0.2", "S");
    const { statistics } = bed.offline.engine;
    assert.equal(statistics.vip(bed.directory.vipNumbers[1]!).packets, FLOWS);
    const service = {
      number: bed.number("10.99.0.2"),
      address: "10.99.0.2",
      protocol: "tcp",
      port: 80,
    } as const;
    const { services } = bed.apply((next) => {
      next.vips.pop();
      delete next.pools.other;
    });
    assert.equal(services.removed.length, 2);
    const [result] = await bed.offline.process([
      { bytes: packetOf(nthFlow(service, 0), "A"), timeMs: bed.timeMs },
    ]);
    assert.equal(result!.reason, "not-vip");
    bed.apply((next) => {
      next.vips[1]!.name = "third";
    });
    const number = bed.directory.vipNumbers[1]!;
    assert.equal(statistics.vip(number).packets, 0);
    assert.notEqual(bed.number("10.99.0.2"), service.number, "old entries would match its flows");
    const again = await bed.pass("10.99.0.2", "A");
    assert.ok(again.every(({ reason }) => reason === "new"));
    assert.equal(statistics.vip(number).packets, FLOWS);
  });

  test("a VIP that changes its mode or pool does so for the next packet", async (t) => {
    const bed = new Bed();
    t.after(() => bed.offline.close());
    const opened = await bed.pass("10.99.0.1", "S");
    bed.apply((next) => {
      Object.assign(next, { machine: { address: "10.0.0.11" } });
      next.vips[0]!.forward = "gre";
    });
    const tunnelled = await bed.pass("10.99.0.1", "A");
    assert.ok(
      tunnelled.every(({ reason, backend }, i) => reason === "hit" && backend === opened[i]!.backend),
    );
    assert.ok(
      tunnelled.every(({ out }) => out![23] === 47),
      "GRE",
    );
    bed.apply((next) => {
      next.vips[0]!.pool = "other";
    });
    const kept = await bed.pass("10.99.0.1", "A");
    assert.ok(kept.every(({ reason, backend }, i) => reason === "hit" && backend === opened[i]!.backend));
    const fresh = await bed.pass("10.99.0.1", "S", FLOWS);
    const others = [8, 9].map((n) => bed.id("other", `b${n}`));
    assert.ok(fresh.every(({ backend }) => others.includes(backend)));
  });

  test("what does not fit changes nothing", async (t) => {
    const bed = new Bed();
    t.after(() => bed.offline.close());
    const opened = await bed.pass("10.99.0.1", "S");
    const { arena, heap } = bed.offline.engine;
    const published = () => [
      arena.word(L.HEADER_SERVICES),
      ...bed.directory.poolNames.map((pool) => arena.word(bed.directory.poolRecord(pool) + L.POOL_TABLE)),
    ];
    const before = {
      cells: published(),
      used: heap.used,
      vips: bed.directory.vips,
      services: bed.directory.services,
    };
    const tooMany = (count: number) => (next: Document) => {
      next.pools.web!.backends[0]!.weight = 7;
      for (let i = 0; i < count; i++) {
        next.pools.other!.backends.push({ name: `x${i}`, address: `10.1.${i >> 8}.${i & 255 || 1}` });
      }
    };
    assert.throws(() => bed.apply(tooMany(1100)), { code: "CAPACITY", message: /room for 1023 backends/ });
    assert.throws(
      () =>
        bed.apply((next) => {
          tooMany(5)(next);
          next.vips.push({ name: "new", address: "10.99.0.7", port: 80, pool: "other" });
          next.pools.other!.tableSize = 1_000_003;
        }),
      { code: "TABLE_HEAP" },
    );
    const after = {
      cells: published(),
      used: heap.used,
      vips: bed.directory.vips,
      services: bed.directory.services,
    };
    assert.deepEqual(after, before);
    assert.equal(bed.directory.backend("web", "b1").weight, 1);
    assert.throws(() => bed.id("other", "x0"), { code: "UNKNOWN" });
    const later = await bed.pass("10.99.0.1", "A");
    assert.ok(later.every(({ reason, backend }, i) => reason === "hit" && backend === opened[i]!.backend));
    // The numbers are free again: as many as fit can come.
    bed.apply(tooMany(1000));
    assert.equal(bed.directory.backendsOf("other").length, 1002);
  });

  test("weights and states of several backends make one new table", (t) => {
    const bed = new Bed();
    t.after(() => bed.offline.close());
    const { epoch } = bed.publication;
    const ids = [1, 2, 3].map((n) => bed.id("web", `b${n}`));
    bed.directory.update([
      { id: ids[0]!, weight: 5 },
      { id: ids[1]!, state: "draining" },
      { id: ids[2]!, state: "dead" },
    ]);
    assert.equal(bed.publication.epoch, epoch + 1);
    const table = bed.directory.table("web");
    assert.deepEqual([table.share(ids[1]!), table.share(ids[2]!)], [0, 0]);
    assert.ok(Math.abs(table.share(ids[0]!) - 5 / 6) < 0.01);
    bed.directory.update([{ id: ids[1]!, state: "draining" }]);
    assert.equal(bed.publication.epoch, epoch + 1, "nothing changed");
    // A weight that was set stays, until the configuration says another.
    bed.apply();
    assert.equal(bed.directory.backend("web", "b1").weight, 5);
    bed.apply((next) => {
      next.pools.web!.backends[0]!.weight = 2;
    });
    assert.equal(bed.directory.backend("web", "b1").weight, 2);
  });
});
