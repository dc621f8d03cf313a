// Checks and operators on one side, an engine's tables on the other.

import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import { pino } from "pino";
import { stringify } from "yaml";
import { parseConfig } from "../../src/config/load.ts";
import { Availability } from "../../src/control/availability.ts";
import type { BackendState } from "../../src/dataplane/backend-records.ts";
import { OfflineEngine } from "../../src/io/offline.ts";
import { maglevTable } from "../model/maglev.ts";

const SIZE = 251;
const ALL = ["a", "b", "c"];

function configOf(whenEmpty: string, names: readonly string[] = ALL, pools: string[] = ["web"]) {
  const backends = names.map((name) => ({ name, address: `10.0.0.${name.charCodeAt(0)}` }));
  return parseConfig(
    stringify({
      conntrack: { flows: 1000 },
      pools: Object.fromEntries(pools.map((pool) => [pool, { tableSize: SIZE, whenEmpty, backends }])),
      vips: [{ name: "web", address: "10.99.0.1", port: 80, pool: "web" }],
    }),
    "c.yaml",
  ).config;
}

class Bed {
  readonly offline: OfflineEngine;
  readonly down = new Set<string>();
  /** By name of the backend. */
  readonly flows = new Map<string, number>();
  readonly log: { msg: string }[] = [];
  readonly availability: Availability;
  changes = 0;

  constructor(test: TestContext, whenEmpty = "withdraw") {
    this.offline = new OfflineEngine(configOf(whenEmpty), { inline: true });
    test.after(() => this.offline.close());
    this.availability = new Availability({
      directory: this.directory,
      isUp: (_pool, backend) => !this.down.has(backend),
      activeFlows: (id) => this.flows.get(this.directory.backends[id]!.config.name) ?? 0,
      log: pino({ level: "trace" }, { write: (line: string) => void this.log.push(JSON.parse(line)) }),
      onChange: () => void this.changes++,
    });
  }

  get directory() {
    return this.offline.engine.directory;
  }

  check(name: string, up: boolean): void {
    if (up) this.down.delete(name);
    else this.down.add(name);
    this.availability.refresh(["web"]);
  }

  states(): Record<string, BackendState> {
    return Object.fromEntries(
      this.directory.backendsOf("web").map(({ config, state }) => [config.name, state]),
    );
  }

  /** Checks the table in the arena's own words against another implementation. */
  checkTable(...names: string[]): void {
    const backends = names.map((name) => ({ id: this.directory.backend("web", name).id, name, weight: 1 }));
    assert.deepEqual([...this.directory.table("web").slots], maglevTable(SIZE, backends));
  }

  /** No block fits from here on. */
  fillHeap(): () => void {
    const { heap } = this.offline.engine;
    const blocks: number[] = [];
    for (let bytes = 1 << 20; bytes >= 64; bytes /= 2)
      while (heap.hasRoom(bytes)) blocks.push(heap.allocate(bytes));
    return () => {
      for (const block of blocks) heap.free(block);
    };
  }
}

suite("availability", () => {
  const table: [up: boolean, asked: BackendState, state: BackendState][] = [
    [true, "active", "active"],
    [true, "draining", "draining"],
    [false, "active", "dead"],
    [false, "draining", "dead"],
    [true, "dead", "dead"],
    [false, "dead", "dead"],
  ];
  for (const [up, asked, state] of table) {
    test(`${up ? "up" : "down"}, asked to be ${asked}: ${state}`, (t) => {
      const bed = new Bed(t);
      bed.check("a", up);
      bed.availability.ask("web", "a", asked);
      assert.deepEqual(bed.states(), { a: state, b: "active", c: "active" });
      bed.checkTable(...(state === "active" ? ALL : ["b", "c"]));
      assert.equal(bed.availability.asked("web", "a"), asked);
      assert.equal(bed.availability.stateOf("web", "a"), state);
      // The other way round it comes to the same.
      const other = new Bed(t);
      other.availability.ask("web", "a", asked);
      other.check("a", up);
      assert.deepEqual(other.states(), bed.states());
      assert.deepEqual(other.directory.table("web").digest, bed.directory.table("web").digest);
    });
  }

  test("a drained backend that goes down and comes back is still drained, until it is asked for", (t) => {
    const bed = new Bed(t);
    bed.availability.ask("web", "b", "draining");
    bed.check("b", false);
    assert.equal(bed.states().b, "dead");
    bed.check("b", true);
    assert.equal(bed.states().b, "draining");
    bed.checkTable("a", "c");
    bed.availability.ask("web", "b", "active");
    bed.checkTable(...ALL);
  });

  test("one callback and one table for all that changes, none when nothing does", (t) => {
    const bed = new Bed(t);
    const { generation } = bed.directory.table("web");
    bed.down.add("a").add("b");
    bed.availability.refresh();
    assert.deepEqual([bed.changes, bed.directory.table("web").generation], [1, generation + 1]);
    bed.availability.refresh();
    bed.availability.ask("web", "a", "active");
    assert.deepEqual([bed.changes, bed.directory.table("web").generation], [1, generation + 1]);
  });

  test("a pool is draining while no backend takes new flows and some have their own", (t) => {
    const bed = new Bed(t);
    const { availability, flows } = bed;
    const told = () => [availability.isUsable("web"), availability.isDraining("web")];
    flows.set("a", 2).set("b", 1).set("c", 3);
    assert.deepEqual(told(), [true, false]);
    availability.ask("web", "a", "draining");
    availability.ask("web", "b", "draining");
    assert.deepEqual(told(), [true, false], "c takes new ones");
    assert.equal(availability.isLast("web", "c"), true);
    assert.equal(availability.isLast("web", "a"), false, "it takes none");
    bed.check("c", false);
    assert.deepEqual(told(), [false, true], "flows of c are gone with it");
    flows.set("a", 0);
    assert.deepEqual(told(), [false, true]);
    flows.set("b", 0);
    assert.deepEqual(told(), [false, false]);
    // Weight 0 is as good as drained.
    bed.check("c", true);
    const { id } = bed.directory.backend("web", "c");
    bed.directory.update([{ id, weight: 0 }]);
    assert.deepEqual(told(), [false, true]);
    assert.equal(availability.isLast("web", "c"), false);
    availability.ask("web", "a", "active");
    assert.deepEqual(told(), [true, false]);
    assert.equal(availability.isLast("web", "a"), true);
    assert.throws(() => availability.isLast("web", "z"), { code: "UNKNOWN" });
  });

  test("withdraw: when the last one goes, nothing is usable, and nothing gets packets", (t) => {
    const bed = new Bed(t);
    for (const name of ALL) {
      assert.equal(bed.availability.isUsable("web"), true, `before ${name}`);
      bed.check(name, false);
    }
    assert.deepEqual([bed.availability.isUsable("web"), bed.availability.isOpen("web")], [false, false]);
    bed.checkTable();
    bed.check("c", true);
    assert.equal(bed.availability.isUsable("web"), true);
    bed.checkTable("c");
  });

  test("open: when the last one goes, all are back; when one comes, only that one", (t) => {
    const bed = new Bed(t, "open");
    bed.check("a", false);
    bed.check("b", false);
    assert.equal(bed.availability.isOpen("web"), false);
    bed.checkTable("c");
    bed.check("c", false);
    assert.deepEqual([bed.availability.isUsable("web"), bed.availability.isOpen("web")], [true, true]);
    bed.checkTable(...ALL);
    assert.match(bed.log.map(({ msg }) => msg).join("\n"), /all backends are down: all of them get packets/);
    bed.check("b", true);
    assert.deepEqual([bed.availability.isUsable("web"), bed.availability.isOpen("web")], [true, false]);
    bed.checkTable("b");
  });

  test("open: what operators asked for counts nevertheless", (t) => {
    const bed = new Bed(t, "open");
    bed.availability.ask("web", "a", "draining");
    bed.availability.ask("web", "b", "dead");
    for (const name of ALL) bed.check(name, false);
    assert.deepEqual(bed.states(), { a: "draining", b: "dead", c: "active" });
    bed.checkTable("c");
    bed.availability.ask("web", "c", "dead");
    assert.equal(bed.availability.isUsable("web"), false, "operators may empty an open pool");
  });

  test("a pool is open or not as its configuration in force says", (t) => {
    const bed = new Bed(t, "open");
    for (const name of ALL) bed.check(name, false);
    bed.directory.apply(configOf("withdraw"));
    bed.availability.refresh();
    assert.deepEqual([bed.availability.isOpen("web"), bed.availability.isUsable("web")], [false, false]);
    bed.directory.apply(configOf("open"));
    bed.availability.refresh();
    bed.checkTable(...ALL);
  });

  test("weights of 0 take no new flows", (t) => {
    const bed = new Bed(t);
    const ids = ALL.map((name) => bed.directory.backend("web", name).id);
    bed.directory.update(ids.map((id) => ({ id, weight: 0 })));
    assert.equal(bed.availability.isUsable("web"), false);
    assert.deepEqual(bed.states(), { a: "active", b: "active", c: "active" });
  });

  test("no room for the table: asking changes nothing, and says so", (t) => {
    const bed = new Bed(t, "open");
    const free = bed.fillHeap();
    assert.throws(() => bed.availability.ask("web", "a", "draining"), { code: "TABLE_HEAP" });
    assert.deepEqual(
      [bed.availability.asked("web", "a"), bed.states().a, bed.changes],
      ["active", "active", 0],
    );
    bed.checkTable(...ALL);
    free();
    bed.availability.ask("web", "a", "draining");
    bed.fillHeap();
    bed.availability.ask("web", "a", "dead");
    assert.equal(bed.states().a, "dead", "from drained to dead takes no new table");
  });

  test("no room for the table of an open pool: it is not open, and is tried again with the next change", (t) => {
    const bed = new Bed(t, "open");
    bed.check("a", false);
    bed.check("b", false);
    const free = bed.fillHeap();
    assert.throws(() => bed.check("c", false), { code: "TABLE_HEAP" });
    assert.equal(bed.availability.isOpen("web"), false);
    assert.deepEqual(bed.states(), { a: "dead", b: "dead", c: "active" });
    free();
    bed.availability.refresh();
    assert.equal(bed.availability.isOpen("web"), true);
    bed.checkTable(...ALL);
  });

  test("unknown backends and pools are named", (t) => {
    const bed = new Bed(t);
    assert.throws(() => bed.availability.ask("web", "d", "dead"), {
      code: "UNKNOWN",
      message: 'there is no backend "d" in pool "web"',
    });
    assert.throws(() => bed.availability.ask("wed", "a", "dead"), { code: "UNKNOWN" });
  });

  test("what was asked for is forgotten with its backend, and can be had again before", (t) => {
    const bed = new Bed(t);
    for (const name of ["a", "b"]) bed.availability.ask("web", name, "draining");
    const again = bed.availability.remember();
    bed.directory.apply(configOf("withdraw", ["b", "c"]));
    bed.availability.prune();
    assert.deepEqual(
      ["a", "b"].map((name) => bed.availability.asked("web", name)),
      ["active", "draining"],
    );
    again();
    assert.equal(bed.availability.asked("web", "a"), "draining");
  });

  test("a pool that left while it was open begins closed when it comes again", (t) => {
    const bed = new Bed(t, "open");
    bed.directory.apply(configOf("open", ALL, ["web", "other"]));
    for (const name of ALL) bed.down.add(name);
    bed.availability.refresh();
    assert.equal(bed.availability.isOpen("other"), true);
    bed.directory.apply(configOf("open"));
    bed.availability.prune();
    assert.deepEqual([bed.availability.isOpen("other"), bed.availability.isOpen("web")], [false, true]);
  });
});
