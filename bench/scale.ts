// `bench scale`: how throughput grows with workers. Real threads, each with the real data plane, a queue of its own in memory and
// packets that were made before; between its runs each plays the kernel on its own rings (bench/threads/thread.ts). What they
// share is what workers share: the connection table, frames, FILL and COMPLETION rings, published blocks, caches, memory.
//
// All numbers of workers stand ready, each in an engine of its own, and take turns.

import { availableParallelism } from "node:os";
import { median, quantile, rounded, spread } from "../src/quantiles.ts";
import type { SuiteOptions } from "./suite.ts";
import { ThreadBed } from "./threads/bed.ts";
import { Team, type TeamTurn } from "./threads/team.ts";

const REPETITIONS = 15;
const TURN_MS = 300;
const WARM_MS = 1500;
const QUICK = { repetitions: 2, turnMs: 50, warmMs: 100 };
/** Of all packets, those that may be no hits: the first of each flow. */
const OTHERS = { full: 0.01, quick: 0.2 };
/** Two workers over one. */
const TARGET = 1.9;

export interface ScaleRow {
  workers: number;
  /** Of the time that threads spend in the data plane: feeding it is not counted. */
  mpps: number;
  /** (p90 − p10) / median of the turns. */
  spread: number;
  /** Over one worker: the median of the turns' ratios, and its quartiles. */
  ratio: number;
  ratioQuartiles: [number, number];
  /** Ratio per worker. */
  efficiency: number;
  /** Median of a thread's rounds, mean of the threads: it hardly sees that others take the processor. */
  nsPerPacket: number;
  /** By that, over one: the median of the turns' ratios. */
  roundsRatio: number;
  /** By the time on the wall, feeding included. */
  wallMpps: number;
  packets: number;
}

export interface ScaleResult {
  rows: ScaleRow[];
  /** Processors of the machine: more workers than these share them. */
  processors: number;
  /** What two workers should make of one. */
  targetRatio: number;
}

/** 1, 2, 4 and so on up to a number, and this. */
function counts(most: number): number[] {
  const list = [];
  for (let workers = 1; workers < most; workers *= 2) list.push(workers);
  return [...list, most];
}

/** @throws GuidewayError BENCH when packets are no hits */
export async function benchScale({ quick, say, workers }: SuiteOptions): Promise<ScaleResult> {
  const processors = availableParallelism();
  const { repetitions, turnMs, warmMs } = quick
    ? QUICK
    : { repetitions: REPETITIONS, turnMs: TURN_MS, warmMs: WARM_MS };
  const teams = counts(workers ?? processors).map((count) => {
    say(`${count} ${count === 1 ? "worker" : "workers"}: making packets`);
    return {
      workers: count,
      team: new Team(`of-${count}`, new ThreadBed({ workers: count })),
      turns: [] as TeamTurn[],
    };
  });
  try {
    for (const { team } of teams) await team.turn(warmMs);
    for (let repetition = 1; repetition <= repetitions; repetition++) {
      say(`measuring, ${repetition} of ${repetitions}`);
      for (const { team, turns } of teams) turns.push(await team.turn(turnMs));
    }
    for (const { team } of teams) team.check("hit", quick ? OTHERS.quick : OTHERS.full);
  } finally {
    for (const { team } of teams) await team.end();
  }
  const alone = teams[0]!.turns;
  const rows = teams.map(({ workers, turns }) => summarize(workers, turns, alone));
  return { rows, processors, targetRatio: TARGET };
}

function summarize(workers: number, turns: readonly TeamTurn[], alone: readonly TeamTurn[]): ScaleRow {
  const rates = turns.map(({ mpps }) => mpps);
  const ratios = rates.map((rate, i) => rate / alone[i]!.mpps);
  const rounds = turns.map(({ nsPerPacket }, i) => (workers * alone[i]!.nsPerPacket) / nsPerPacket);
  return {
    workers,
    mpps: rounded(median(rates)),
    spread: rounded(spread(rates), 2),
    ratio: rounded(median(ratios), 3),
    ratioQuartiles: [rounded(quantile(ratios, 0.25), 3), rounded(quantile(ratios, 0.75), 3)],
    efficiency: rounded(median(ratios) / workers, 3),
    nsPerPacket: rounded(median(turns.map(({ nsPerPacket }) => nsPerPacket))),
    roundsRatio: rounded(median(rounds), 3),
    wallMpps: rounded(median(turns.map(({ wallMpps }) => wallMpps))),
    packets: turns.reduce((sum, { packets }) => sum + packets, 0),
  };
}
