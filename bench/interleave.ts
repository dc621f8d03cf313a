// Cases that take turns: what disturbs the machine meanwhile disturbs all of them.

import { type MicroResult, microCase } from "./micro.ts";
import type { SuiteOptions } from "./suite.ts";

/** Times that every case has its turn. */
const REPETITIONS = 10;
/** Rounds of a turn, and those before them that do not count: caches fill again, V8 compiles. */
const ROUNDS = 10;
const WARM_ROUNDS = 3;
const FIRST_ROUNDS = 20;
const QUICK = { repetitions: 2, rounds: 3, warm: 1, first: 2 };

/** A case that stands ready. */
export interface TurnCase {
  name: string;
  /** One round. @returns nanoseconds per operation */
  round: () => number;
  /** Rounds are long: a few of them do. */
  long?: boolean;
  /** What the design asks for, nanoseconds per operation. */
  targetNs?: number;
}

/** Measures them in turn. The result is the median of all rounds that count. */
export function takeTurns(cases: readonly TurnCase[], { quick, say }: SuiteOptions): MicroResult {
  const { repetitions, rounds, warm, first } = quick
    ? QUICK
    : { repetitions: REPETITIONS, rounds: ROUNDS, warm: WARM_ROUNDS, first: FIRST_ROUNDS };
  const samples = cases.map((): number[] => []);
  for (const { name, round, long } of cases) {
    say(`warming up ${name}`);
    for (let i = 0; i < (long ? warm : first); i++) round();
  }
  for (let repetition = 1; repetition <= repetitions; repetition++) {
    say(`measuring, ${repetition} of ${repetitions}`);
    for (const [index, { round, long }] of cases.entries()) {
      for (let i = 0; i < (long ? 0 : warm); i++) round();
      for (let i = 0; i < (long ? 1 : rounds); i++) samples[index]!.push(round());
    }
  }
  return {
    cases: cases.map(({ name, targetNs }, index) => microCase(name, samples[index]!, targetNs)),
  };
}

/** @returns nanoseconds that a call takes */
export function timed(call: () => void): number {
  const before = performance.now();
  call();
  return (performance.now() - before) * 1e6;
}
