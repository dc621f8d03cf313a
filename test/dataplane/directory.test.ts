// Sequences of configurations, states and weights, against a plain model of what must be in force: ids, services and tables.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import * as L from "../../assembly/layout.ts";
import { parseConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";
import type { BackendState } from "../../src/dataplane/backend-records.ts";
import { OfflineEngine } from "../../src/io/offline.ts";
import { nthFlow, packetOf } from "../engine/collisions.ts";
import { maglevTable } from "../model/maglev.ts";
import { runs } from "../runs.ts";

const SIZES = [13, 251, 509];
const POOLS = ["p", "q", "r"];
const NAMES = ["a", "b", "c", "d", "e"];
const SWEEP_MS = 35_000;

interface BackendShape {
  name: string;
  /** Makes the last byte of its address, with its name: the same name may be at several. */
  at: number;
  weight: number;
}

interface Shape {
  pools: { name: string; size: number; backends: BackendShape[] }[];
  vips: { name: string; at: number; ports: number[]; pool: number }[];
}

type Step =
  | { do: "apply"; shape: Shape }
  /** One pool more, or another in its place; all else stays. */
  | { do: "edit"; shape: Shape }
  | { do: "update"; pick: number; state: BackendState; weight: number | undefined }
  | { do: "sweep" };

const shapes: fc.Arbitrary<Shape> = fc.record({
  pools: fc.uniqueArray(
    fc.record({
      name: fc.constantFrom(...POOLS),
      size: fc.constantFrom(...SIZES),
      backends: fc.uniqueArray(
        fc.record({
          name: fc.constantFrom(...NAMES),
          at: fc.constantFrom(1, 1, 1, 2, 3, 4),
          weight: fc.constantFrom(1, 1, 2, 0),
        }),
        { selector: ({ name }) => name, maxLength: 5 },
      ),
    }),
    { selector: ({ name }) => name, minLength: 1, maxLength: 3 },
  ),
  vips: fc.uniqueArray(
    fc.record({
      name: fc.constantFrom("v", "w", "x"),
      at: fc.integer({ min: 1, max: 3 }),
      ports: fc.uniqueArray(fc.constantFrom(80, 443, 8080), { minLength: 1 }),
      pool: fc.nat({ max: 2 }),
    }),
    { selector: ({ name }) => name, maxLength: 3 },
  ),
});

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: fc.record({ do: fc.constant("apply" as const), shape: shapes }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("edit" as const), shape: shapes }) },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant("update" as const),
        pick: fc.nat(),
        state: fc.constantFrom<BackendState>("active", "draining", "dead"),
        weight: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("sweep" as const) }) },
  ),
  { minLength: 1, maxLength: 14 },
);

/** Two VIPs must not have one service: what is there twice is left out. */
function configOf({ pools, vips }: Shape): Config {
  const services = new Set<string>();
  return parseConfig(
    JSON.stringify({
      conntrack: { flows: 1000 },
      pools: Object.fromEntries(
        pools.map(({ name, size, backends }) => [
          name,
          {
            tableSize: size,
            backends: backends.map(({ at, ...rest }) => ({
              ...rest,
              address: `10.0.0.${10 * NAMES.indexOf(rest.name) + at}`,
            })),
          },
        ]),
      ),
      vips: vips.flatMap(({ name, at, ports, pool }) => {
        const free = ports.filter((port) => !services.has(`${at} ${port}`));
        for (const port of free) services.add(`${at} ${port}`);
        if (free.length === 0) return [];
        return [{ name, address: `10.99.0.${at}`, port: free, pool: pools[pool % pools.length]!.name }];
      }),
    }),
    "c.yaml",
  ).config;
}

/** What must be in force, in plain words. */
class Model {
  config: Config;
  /** By pool, name and address. */
  backends = new Map<string, { state: BackendState; weight: number; configured: number; id: number }>();

  constructor(config: Config) {
    this.config = config;
  }

  static key = (pool: string, { name, address }: { name: string; address: string }) =>
    `${pool} ${name} ${address}`;

  apply(config: Config, idOf: (pool: string, name: string) => number): void {
    const before = this.backends;
    this.config = config;
    this.backends = new Map();
    for (const [pool, { backends }] of Object.entries(config.pools)) {
      for (const each of backends) {
        const key = Model.key(pool, each);
        const known = before.get(key);
        const id = idOf(pool, each.name);
        if (known) assert.equal(id, known.id, `${key} keeps its id`);
        const weight = known && known.configured === each.weight ? known.weight : each.weight;
        this.backends.set(key, { state: known?.state ?? "active", weight, configured: each.weight, id });
      }
    }
  }

  table(pool: string): number[] {
    const { backends, tableSize } = this.config.pools[pool]!;
    const active = backends.flatMap((each) => {
      const { state, weight, id } = this.backends.get(Model.key(pool, each))!;
      return state === "active" ? [{ id, name: each.name, weight }] : [];
    });
    return maglevTable(tableSize, active);
  }
}

class Bed {
  readonly offline: OfflineEngine;
  readonly model: Model;
  timeMs = 1000;
  #shape: Shape;

  constructor(shape: Shape) {
    this.#shape = shape;
    const config = configOf(shape);
    this.offline = new OfflineEngine(config, { workers: 2, inline: true });
    this.model = new Model(config);
    this.model.apply(config, (pool, name) => this.directory.backend(pool, name).id);
  }

  get directory() {
    return this.offline.engine.directory;
  }

  async take(step: Step): Promise<void> {
    switch (step.do) {
      case "apply":
      case "edit": {
        if (step.do === "apply") this.#shape = step.shape;
        else {
          const [edited] = step.shape.pools;
          const others = this.#shape.pools.filter(({ name }) => name !== edited!.name);
          this.#shape = { ...this.#shape, pools: [...others, edited!] };
        }
        const config = configOf(this.#shape);
        this.directory.apply(config);
        this.model.apply(config, (pool, name) => this.directory.backend(pool, name).id);
        break;
      }
      case "update": {
        const all = [...this.model.backends.values()];
        const known = all[step.pick % all.length];
        if (!known) break;
        const { state, weight = known.weight } = step;
        this.directory.update([{ id: known.id, state, weight }]);
        Object.assign(known, { state, weight });
        break;
      }
      case "sweep":
        await this.sweep();
    }
  }

  /** Lets workers begin batches, and sweep their connection tables. */
  async sweep(): Promise<void> {
    const nobody = packetOf(nthFlow({ number: 1, address: "10.99.9.9", protocol: "tcp", port: 80 }, 0));
    const end = this.timeMs + SWEEP_MS;
    while (this.timeMs < end) {
      this.timeMs += 1000;
      // A worker that gets no packet has to run, too: one for each.
      await this.offline.process([{ bytes: nobody, timeMs: this.timeMs }]);
    }
    this.directory.reclaim();
  }

  check(): void {
    const { arena } = this.offline.engine;
    const { directory, model } = this;
    assert.deepEqual(directory.poolNames, Object.keys(model.config.pools));
    const ids = [...model.backends.values()].map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length, "no two living backends share an id");
    assert.ok(ids.every((id) => id > 0));
    for (const pool of directory.poolNames) {
      const expected = model.table(pool);
      assert.deepEqual([...directory.table(pool).slots], expected, `table of ${pool}`);
      // In the arena, where the workers find it.
      const block = arena.word(directory.poolRecord(pool) + L.POOL_TABLE);
      assert.equal(arena.word(block + L.TABLE_SIZE), expected.length);
      const slots = arena.u16.subarray(
        (block + L.TABLE_SLOTS) / 2,
        (block + L.TABLE_SLOTS) / 2 + expected.length,
      );
      assert.deepEqual([...slots], expected, `published table of ${pool}`);
    }
    for (const [key, { id, state, weight }] of model.backends) {
      const { pool, config, ...rest } = directory.backends[id]!;
      assert.deepEqual([Model.key(pool, config), rest], [key, { id, state, weight }]);
    }
    const numbers = directory.services.map(({ number }) => number);
    assert.equal(new Set(numbers).size, numbers.length, "no two services share a number");
    const expected = model.config.vips.flatMap(({ address, port: ports }) =>
      ports.map((port) => `${address} ${port}`),
    );
    const actual = directory.services
      .filter(({ port }) => port !== 0)
      .map(({ address, port }) => `${address} ${port}`);
    assert.deepEqual(actual.sort(), expected.sort());
    assert.equal(new Set(directory.vipNumbers).size, model.config.vips.length);
    const damaged = directory.published
      .list()
      .flatMap((block) =>
        block.parts.map((part) => directory.published.compare(block, part, 0, part.bytes.length)),
      );
    assert.deepEqual(damaged.filter(Boolean), []);
  }
}

suite("directory", () => {
  test("any sequence of changes: ids are stable and nobody else's, tables are the model's, nothing leaks", async () => {
    await fc.assert(
      fc.asyncProperty(shapes, steps, async (first, sequence) => {
        const bed = new Bed(first);
        try {
          bed.check();
          for (const step of sequence) {
            await bed.take(step);
            bed.check();
          }
          // When everything has rested, as much is in use as by an engine that began with this.
          for (let i = 0; i < 3; i++) await bed.sweep();
          const fresh = new OfflineEngine(bed.model.config, { workers: 2, inline: true });
          const { directory } = fresh.engine;
          directory.update(
            [...bed.model.backends].map(([key, { state, weight }]) => {
              const [pool, name] = key.split(" ");
              return { id: directory.backend(pool!, name!).id, state, weight };
            }),
          );
          await fresh.process([
            {
              bytes: packetOf(nthFlow({ number: 1, address: "10.99.9.9", protocol: "tcp", port: 80 }, 0)),
              timeMs: 1000,
            },
          ]);
          directory.reclaim();
          const used = [bed.offline, fresh].map(({ engine }) => engine.heap.used);
          const retired = [bed.offline, fresh].map(({ engine }) => engine.publication.retired);
          assert.deepEqual([used[0], retired[0]], [used[1], retired[1]]);
          assert.equal(bed.directory.published.list().length, directory.published.list().length);
          await fresh.close();
        } finally {
          await bed.offline.close();
        }
      }),
      { numRuns: runs.directory.cases, seed: runs.seed },
    );
  });
});
