// `bench conntrack`: the connection table without packets. The loops are AssemblyScript (bench/assembly/conntrack.ts) around the
// data plane's own functions, which touch the lines of a batch first as the pipeline does.
//
// Each row has a table of its own: a million flows, the default, unless the row says another number.

import * as L from "../assembly/layout.ts";
import { parseConfig } from "../src/config/load.ts";
import { Engine } from "../src/dataplane/engine.ts";
import { GuidewayError } from "../src/errors.ts";
import { adviseHugePages } from "../src/measure/huge-pages.ts";
import { median } from "../src/quantiles.ts";
import { type TurnCase, takeTurns, timed } from "./interleave.ts";
import type { MicroResult } from "./micro.ts";
import { type BenchModule, loadBenchModule } from "./module.ts";
import type { SuiteOptions } from "./suite.ts";

const FLOWS = 1 << 20;
const QUICK_FLOWS = 1 << 15;
/** Operations of a round, where the table does not say how many. */
const ROUND = 1 << 16;
/** Times that a table's ways are filled over before every flow that comes evicts another. */
const OVERFILL = 3;
/** Parts in which a table is swept, and how far one may be from an even one. */
const PARTS = 8;
const INEXACT = 0.01;
/** Two neighbouring lines are full now and then in a table that is not: flows that are entered there evict others. */
const RARE = 1e-4;
/** Part of a table's ways from which on it is full, and of what is over that a sweep takes at least. */
const FULL = 0.99;
const SECRET = [0x9216d5d98979fb1bn, 0xd1310ba698dfb5acn, 0x2ffd72dbd01adfb7n, 0xb8e1afed6a267e96n];
/** The shortest timeout is the period of the sweep; flows that nothing follows must outlive the measurement. */
const PERIOD_MS = 30_000;
const TIMEOUTS = { new: "24h", established: "24h", closing: "30s", udp: "30s" };
/** For the row in which all of them are over when the sweep comes. */
const SHORT_TIMEOUTS = { ...TIMEOUTS, new: "30s" };
const EXPIRED_MS = PERIOD_MS + PERIOD_MS / 4;

/** A table, and keys: in the frames, which nothing else uses here. */
class Bed {
  readonly #engine: Engine;
  readonly #module: BenchModule;
  readonly #keys: number;
  readonly #room: number;
  readonly #backend: number;
  /** Flows that were ever entered: the next one's number. */
  #next = 0;
  #clockMs = PERIOD_MS;

  constructor(flows: number, timeouts: typeof TIMEOUTS = TIMEOUTS) {
    const document = {
      conntrack: { flows, timeouts },
      pools: { web: { tableSize: 251, backends: [{ address: "10.0.0.21" }] } },
      vips: [{ name: "web", address: "10.99.0.1", port: 80, pool: "web" }],
    };
    const { config } = parseConfig(JSON.stringify(document), "bench");
    this.#engine = new Engine(config, { queues: 1, workers: 1 }, SECRET);
    const { arena, directory } = this.#engine;
    adviseHugePages(arena);
    this.#module = loadBenchModule(arena);
    const { offset, bytes } = arena.plan.regions.frames;
    this.#keys = offset;
    this.#room = Math.floor(bytes / 8);
    this.#backend = directory.backendsOf("web")[0]!.id;
    this.#module.setTime(this.#clockMs);
  }

  get ways(): number {
    return this.lines * L.WAYS;
  }

  get lines(): number {
    return L.SHARDS * this.#engine.arena.plan.shardLines;
  }

  /** Writes the keys of `count` flows. @param first of them; those that were never seen by default */
  keys(count: number, first = this.#next): void {
    if (count > this.#room)
      throw new GuidewayError("BENCH", `there is room for ${this.#room} keys, not ${count}`);
    this.#module.writeKeys(this.#keys, first, count);
    this.#next = Math.max(this.#next, first + count);
  }

  /** @returns nanoseconds that it took. @param from index of the first key */
  follow(count: number, from: number): number {
    return this.#expect(count, () => this.#module.follow(this.#keys + 8 * from, count));
  }

  miss(count: number): number {
    return this.#expect(0, () => this.#module.find(this.#keys, count));
  }

  enter(count: number): number {
    return this.#expect(count, () => this.#module.enter(this.#keys, count, this.#backend));
  }

  evict(count: number): number {
    return this.#expect(count, () => this.#module.evict(this.#keys, count, this.#backend));
  }

  /** Lets the clock go on by a part of the period. @returns nanoseconds per line that is swept meanwhile */
  sweep(): number {
    this.#clockMs += PERIOD_MS / PARTS;
    let lines = 0;
    const ns = timed(() => {
      lines = this.#module.sweepOnce(this.#clockMs);
    });
    // The clock has steps.
    if (Math.abs((lines * PARTS) / this.lines - 1) > INEXACT)
      throw new GuidewayError(
        "BENCH",
        `${lines} of ${this.lines} lines were swept, expected one in ${PARTS}`,
      );
    return ns / lines;
  }

  /** Lets time pass without a sweep. */
  pass(ms: number): void {
    this.#clockMs += ms;
    this.#module.setTime(this.#clockMs);
  }

  /** So many flows that there is no free way. */
  fill(): void {
    for (let left = OVERFILL * this.ways; left > 0; left -= ROUND) {
      this.keys(ROUND);
      this.#module.evict(this.#keys, ROUND, this.#backend);
    }
  }

  clear(): void {
    const { arena } = this.#engine;
    const { offset, bytes } = arena.plan.regions.conntrack;
    arena.u8.fill(0, offset, offset + bytes);
  }

  entries(): number {
    return this.#engine.statistics.workers()[0]!.entries;
  }

  /** @returns nanoseconds that the call took, which should do so many operations */
  #expect(operations: number, call: () => number): number {
    let done = 0;
    const ns = timed(() => {
      done = call();
    });
    if (Math.abs(done - operations) <= operations * RARE) return ns;
    throw new GuidewayError(
      "BENCH",
      `of the operations on the connection table ${done} did what ${operations} should have done`,
    );
  }
}

/** @throws GuidewayError BENCH when the table does something else than what is to be measured */
export function benchConntrack(options: SuiteOptions): MicroResult {
  const flows = options.quick ? QUICK_FLOWS : FLOWS;
  return takeTurns([...hits(flows), miss(flows), insert(flows), evict(flows), ...sweeps(flows)], options);
}

function hits(most: number): TurnCase[] {
  return (
    [
      ["1k", 1 << 10],
      ["128k", 1 << 17],
      ["1m", 1 << 20],
    ] as const
  ).map(([name, all]) => {
    const flows = Math.min(all, most);
    const bed = new Bed(flows);
    bed.keys(flows);
    bed.enter(flows);
    let from = 0;
    const round = () => {
      const count = Math.min(ROUND, flows);
      let ns = 0;
      for (let done = 0; done < ROUND; done += count) {
        ns += bed.follow(count, from);
        from = (from + count) % flows;
      }
      return ns / ROUND;
    };
    return { name: `hit-${name}`, round };
  });
}

function miss(flows: number): TurnCase {
  const bed = new Bed(flows);
  bed.keys(flows);
  bed.enter(flows);
  bed.keys(ROUND);
  return { name: "miss", round: () => bed.miss(ROUND) / ROUND };
}

/** From an empty table to the configured number of flows. */
function insert(flows: number): TurnCase {
  const bed = new Bed(flows);
  const round = () => {
    bed.clear();
    bed.keys(flows);
    return bed.enter(flows) / flows;
  };
  return { name: "insert", round, long: true };
}

/** Every flow takes another one's place. */
function evict(flows: number): TurnCase {
  const bed = new Bed(flows);
  bed.fill();
  const round = () => {
    bed.keys(ROUND);
    return bed.evict(ROUND) / ROUND;
  };
  return { name: "evict", round };
}

/** Lines without entries, with seven that stay, and with seven that are over. An operation is a line. */
function sweeps(flows: number): TurnCase[] {
  const empty = new Bed(flows);
  const full = new Bed(flows);
  full.fill();
  const over = new Bed(flows, SHORT_TIMEOUTS);
  const expire = () => {
    over.fill();
    over.pass(EXPIRED_MS);
    const before = over.entries();
    const parts = Array.from({ length: PARTS }, () => over.sweep());
    if (before < over.ways * FULL || over.entries() > before * (1 - FULL))
      throw new GuidewayError("BENCH", `of ${before} entries that were over ${over.entries()} stayed`);
    return median(parts);
  };
  return [
    { name: "sweep-empty-line", round: () => empty.sweep() },
    { name: "sweep-full-line", round: () => full.sweep() },
    { name: "sweep-expired-line", round: expire, long: true },
  ];
}
