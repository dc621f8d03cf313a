// What a change of the configuration does to flows, before anybody makes it: which part of each VIP's lookup table
// and of sampled flows would go elsewhere, and which connections would lose their backend.

import { type ConfigChange, diffConfigs, differs } from "../config/diff.ts";
import type { Config, VipConfig } from "../config/schema.ts";
import { expandServices, type Service } from "../config/services.ts";
import { FlowSample } from "./flow-sample.ts";
import { compareTables, Matrix, type Move } from "./matrix.ts";
import { type PoolFate, poolFates } from "./pools.ts";
import { type PoolTable, type StateOf, sameTable, sharesOf, Tables, targetOf } from "./tables.ts";
import { matchVips } from "./vips.ts";

/** What becomes of a VIP. Parts are fractions, 0 to 1. */
export interface VipPlan {
  name: string;
  /** Its name before; null for one that is new. */
  nameBefore: string | null;
  change: "added" | "removed" | "changed" | "same";
  /** The pool before and after; null where there is no VIP. */
  pools: { before: string | null; after: string | null };
  /** Part of the table's slots whose packets go elsewhere; all of them when the VIP vanishes. */
  slotsMoved: number;
  /** Part of its sampled flows that go elsewhere, or nowhere. */
  flowsMoved: number;
  /** Sampled flows. */
  flows: number;
  /** Part of the slots that each backend of its pool gets; all 0 when none takes flows, empty for a VIP that vanishes. */
  shares: Record<string, number>;
  /** The same before the change. */
  sharesBefore: Record<string, number>;
  /** From where to where, largest first: they add up to slotsMoved and flowsMoved. */
  moves: Move[];
}

/** Plain data: the greater part of what `plan --json` prints. */
export interface Plan {
  vips: VipPlan[];
  /** The greatest slotsMoved or flowsMoved of a VIP. */
  moved: number;
  /** Everything that differs. */
  changes: ConfigChange[];
  /** Those of the changes that need a restart. */
  restart: ConfigChange[];
  /** What becomes of connections to the backends of the pools before. */
  pools: PoolFate[];
  /** Where the flows are from, and how many there are. */
  sample: { source: string; flows: number };
}

export interface PlanOptions {
  /** Made for these two configurations. Default: generated flows. */
  flows?: FlowSample;
  /** States of backends by pool and name; also of those that only one side has. Default: all are active. */
  states?: StateOf;
  /** States after the change, where they are others. Default: `states`. */
  statesAfter?: StateOf;
}

/** Plans a change between two valid configurations. Nothing is changed by it. */
export function planChange(old: Config, next: Config, options: PlanOptions = {}): Plan {
  const states = options.states ?? (() => "active");
  const statesAfter = options.statesAfter ?? states;
  const sample = options.flows ?? FlowSample.generate(old, next);
  const comparison = new Comparison(old, next, states, statesAfter, sample);
  const vips = matchVips(old, next).map(([before, after]) => comparison.vip(before, after));
  const changes = diffConfigs(old, next);
  return {
    vips,
    moved: Math.max(0, ...vips.flatMap(({ slotsMoved, flowsMoved }) => [slotsMoved, flowsMoved])),
    changes,
    restart: changes.filter(({ effect }) => effect === "restart"),
    pools: poolFates(old, next, states, statesAfter),
    sample: { source: sample.source, flows: sample.flows },
  };
}

class Comparison {
  readonly #old: Config;
  readonly #next: Config;
  readonly #tables = new Tables();
  readonly #before: (pool: string) => PoolTable;
  readonly #after: (pool: string) => PoolTable;
  readonly #sample: FlowSample;
  /** Services before, by VIP. */
  readonly #services: Map<string, Service[]>;

  constructor(old: Config, next: Config, states: StateOf, statesAfter: StateOf, sample: FlowSample) {
    this.#old = old;
    this.#next = next;
    this.#before = (pool) => this.#tables.of(old, pool, states);
    this.#after = (pool) => this.#tables.of(next, pool, statesAfter);
    this.#sample = sample;
    this.#services = Map.groupBy(expandServices(old), ({ vipIndex }) => old.vips[vipIndex]!.name);
  }

  vip(before: VipConfig | undefined, after: VipConfig | undefined): VipPlan {
    const table = before && this.#before(before.pool);
    const nextTable = after && this.#after(after.pool);
    const matrix = new Matrix();
    const slots = table ? compareTables(matrix, table, nextTable) : { moved: 0, whole: 0 };
    const flows = before && table ? this.#flows(matrix, before, table) : { moved: 0, whole: 0 };
    const [slotsMoved, flowsMoved] = [slots, flows].map(({ moved, whole }) =>
      whole === 0 ? 0 : moved / whole,
    );
    return {
      name: (after ?? before)!.name,
      nameBefore: before?.name ?? null,
      change: this.#change(before, after, slots.moved + flows.moved > 0),
      pools: { before: before?.pool ?? null, after: after?.pool ?? null },
      slotsMoved: slotsMoved!,
      flowsMoved: flowsMoved!,
      flows: flows.whole,
      shares: shares(this.#next, after, nextTable),
      sharesBefore: shares(this.#old, before, table),
      moves: matrix.moves(slots.whole, flows.whole),
    };
  }

  /** Sends each flow through both tables. Its service may belong to another VIP afterwards, or to none. */
  #flows(matrix: Matrix, { name }: VipConfig, table: PoolTable): { moved: number; whole: number } {
    const counts = { moved: 0, whole: 0 };
    const all = (this.#services.get(name) ?? []).flatMap((service) => [...this.#sample.of(service)]);
    for (const [pool, { before, after }] of all) {
      const nextTable = pool === undefined ? undefined : this.#after(pool);
      counts.whole += before.length;
      if (before === after && nextTable && sameTable(table, nextTable)) continue;
      for (let i = 0; i < before.length; i++) {
        const to = nextTable && targetOf(nextTable, after[i]!);
        counts.moved += matrix.add("flows", targetOf(table, before[i]!), to, 1);
      }
    }
    return counts;
  }

  #change(before: VipConfig | undefined, after: VipConfig | undefined, moved: boolean): VipPlan["change"] {
    if (!before) return "added";
    if (!after) return "removed";
    const pools = [this.#old.pools[before.pool], this.#next.pools[after.pool]];
    return moved || differs(before, after) || differs(pools[0], pools[1]) ? "changed" : "same";
  }
}

function shares(
  config: Config,
  vip: VipConfig | undefined,
  table: PoolTable | undefined,
): Record<string, number> {
  if (!vip || !table) return {};
  const taken = sharesOf(table);
  return Object.fromEntries(config.pools[vip.pool]!.backends.map(({ name }) => [name, taken.get(name) ?? 0]));
}
