// `bench swap`: throughput while everything that is published is replaced every millisecond: the lookup tables of all pools, and
// the services. Workers are real threads that feed themselves (bench/threads/thread.ts); one processor is left to what swaps, if
// there are two.
//
//   hits     every packet is of a flow in the connection table: what it needs of the published blocks are the services
//   lookups  next to every packet is served by the lookup table: all of the new tables' lines come from another core
//
// Turns with and without swaps alternate, and each pair gives a ratio.

import { availableParallelism } from "node:os";
import { performance } from "node:perf_hooks";
import type { Engine } from "../src/dataplane/engine.ts";
import { GuidewayError } from "../src/errors.ts";
import { median, quantile, rounded } from "../src/quantiles.ts";
import type { SuiteOptions } from "./suite.ts";
import { ThreadBed } from "./threads/bed.ts";
import { Team } from "./threads/team.ts";

const REPETITIONS = 30;
const TURN_MS = 200;
const WARM_MS = 1500;
const QUICK = { repetitions: 2, turnMs: 60, warmMs: 100 };
const EVERY_MS = 1;
/** Pools, each with a table of 65,537 slots and a VIP. */
const POOLS = 4;
/** What is published: their tables, and the services. */
const BLOCKS = POOLS + 1;
const TARGET_LOSS = 0.03;
/** Of all packets, those that may have another reason than what is measured: each flow's first, or of those few that entered. */
const OTHERS = { full: 0.05, quick: 0.2 };

const CASES = [
  { name: "hits", reason: "hit", newFlowsPerSecond: 0 },
  // The first flows of each shard enter, and then there is no room.
  { name: "lookups", reason: "table", newFlowsPerSecond: 1 },
] as const;

export interface SwapCase {
  name: (typeof CASES)[number]["name"];
  /** Without swaps, and with. */
  mpps: { without: number; with: number };
  /** Part of the throughput that swapping costs: the median of the pairs, and its quartiles. */
  loss: number;
  lossQuartiles: [number, number];
  pairs: number;
  /** Times that all of it was swapped, and milliseconds from one to the next: median. */
  swaps: number;
  everyMs: number;
  packets: number;
}

export interface SwapResult {
  cases: SwapCase[];
  workers: number;
  /** Blocks that a swap replaces: tables and services. */
  blocks: number;
  targetLoss: number;
}

/** @throws GuidewayError BENCH when packets are lost or served otherwise, or blocks stay behind */
export async function benchSwap({ quick, say, workers: asked }: SuiteOptions): Promise<SwapResult> {
  const workers = asked ?? Math.max(1, availableParallelism() - 1);
  const options = quick ? QUICK : { repetitions: REPETITIONS, turnMs: TURN_MS, warmMs: WARM_MS };
  const beds = CASES.map((each) => {
    say(`${each.name}: making packets`);
    const bed = new ThreadBed({ workers, newFlowsPerSecond: each.newFlowsPerSecond, pools: POOLS });
    return {
      ...each,
      bed,
      team: new Team(each.name, bed, 1),
      swapper: new Swapper(bed.engine),
      pairs: [] as Pair[],
    };
  });
  try {
    for (const { team } of beds) await team.turn(options.warmMs);
    for (let repetition = 1; repetition <= options.repetitions; repetition++) {
      say(`measuring, ${repetition} of ${options.repetitions}`);
      for (const { team, swapper, pairs } of beds) {
        const without = await team.turn(options.turnMs);
        const during = await team.turn(options.turnMs, () => swapper.swapFor(options.turnMs));
        pairs.push({ without: without.mpps, with: during.mpps, packets: without.packets + during.packets });
      }
    }
    for (const { team, reason, swapper } of beds) {
      team.check(reason, quick ? OTHERS.quick : OTHERS.full);
      swapper.check();
    }
  } finally {
    for (const { team } of beds) await team.end();
  }
  const cases = beds.map(({ name, pairs, swapper }) => summarize(name, pairs, swapper));
  return { cases, workers, blocks: BLOCKS, targetLoss: TARGET_LOSS };
}

interface Pair {
  without: number;
  with: number;
  packets: number;
}

function summarize(name: SwapCase["name"], pairs: readonly Pair[], swapper: Swapper): SwapCase {
  const losses = pairs.map((pair) => 1 - pair.with / pair.without);
  const quartile = (share: number) => rounded(quantile(losses, share), 2);
  return {
    name,
    mpps: {
      without: rounded(median(pairs.map((pair) => pair.without))),
      with: rounded(median(pairs.map((pair) => pair.with))),
    },
    loss: rounded(median(losses), 2),
    lossQuartiles: [quartile(0.25), quartile(0.75)],
    pairs: pairs.length,
    swaps: swapper.swaps,
    everyMs: rounded(median(swapper.gapsMs), 3),
    packets: pairs.reduce((sum, { packets }) => sum + packets, 0),
  };
}

/** Replaces everything that is published by copies of itself: what workers see is what a change of all of it would be. */
class Swapper {
  readonly #engine: Engine;
  readonly #pause = new Int32Array(new SharedArrayBuffer(4));
  readonly gapsMs: number[] = [];
  readonly #epoch: number;
  swaps = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#epoch = engine.publication.epoch;
  }

  /** Swaps every millisecond; returns when the time is up. */
  swapFor(millis: number): void {
    const { published } = this.#engine.directory;
    const from = performance.now();
    let last = from;
    for (let due = from; due < from + millis; due += EVERY_MS) {
      const now = performance.now();
      // A late one is not made up for.
      if (now > due + EVERY_MS) due = now;
      else if (now < due) Atomics.wait(this.#pause, 0, 0, due - now);
      const at = performance.now();
      if (last !== from) this.gapsMs.push(at - last);
      last = at;
      for (const block of published.list()) published.restore(block);
      this.swaps++;
    }
  }

  /** @throws GuidewayError BENCH when not every swap published every block, or replaced blocks are in use though all workers wait */
  check(): void {
    const { publication } = this.#engine;
    const published = publication.epoch - this.#epoch;
    if (published !== this.swaps * BLOCKS)
      throw new GuidewayError("BENCH", `${this.swaps} swaps of ${BLOCKS} blocks have published ${published}`);
    const left = publication.reclaim();
    if (left !== 0) throw new GuidewayError("BENCH", `${left} replaced blocks were not let go`);
  }
}
