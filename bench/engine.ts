// `bench engine`: what the data plane takes per packet, without a NIC.
//
// All scenarios stand ready at once, and are measured in turn, several times: what disturbs the machine meanwhile
// disturbs all of them.

import { GuidewayError } from "../src/errors.ts";
import { median, rounded, spread } from "../src/quantiles.ts";
import { Bed, ROUND } from "./engine/bed.ts";
import { hugePagesMiB } from "./engine/memory.ts";
import { scenarios } from "./engine/scenario.ts";
import { Verifier } from "./engine/verify.ts";
import type { Say, SuiteOptions } from "./suite.ts";

/** Times that every scenario has its turn. */
const REPETITIONS = 5;
/** Measured rounds of a turn, and those before them, in which the caches fill again. */
const ROUNDS = 100;
const WARM_ROUNDS = 40;
/** V8 compiles a function well once it has run a while: warm is when a window of rounds is no faster than the last. */
const WINDOW = 100;
const MOST_WINDOWS = 20;
const STEADY = 0.02;
/** Hits among the packets of a scenario that is to have nothing else. */
const LEAST_HITS = 0.999;
/** Every so many packets one is looked at. */
const SAMPLE = 31;

export interface EngineScenario {
  name: string;
  nsPerPacket: number;
  mpps: number;
  /** (p90 − p10) / median of the rounds. */
  spread: number;
  /** Packets of its turns, and of these those found in the connection table. */
  packets: number;
  hits: number;
  /** Packets compared byte by byte. */
  verified: number;
}

export interface EngineResult {
  scenarios: EngineScenario[];
  /** MiB of the arenas that lie in huge pages. */
  hugePagesMiB: number;
}

/** @throws GuidewayError BENCH when the engine does something else than what is to be measured */
export function benchEngine({ quick, say }: SuiteOptions): EngineResult {
  const beds = scenarios(quick).map((scenario) => {
    say(`filling ${scenario.name}`);
    const bed = new Bed(scenario);
    bed.fill();
    return { bed, verified: verify(bed), rounds: [] as number[] };
  });
  for (const { bed } of beds) warmUp(bed, say);
  const repetitions = quick ? 1 : REPETITIONS;
  const before = beds.map(({ bed }) => bed.reasons());
  for (let repetition = 1; repetition <= repetitions; repetition++) {
    say(`measuring, ${repetition} of ${repetitions}`);
    for (const { bed, rounds } of beds) {
      for (let i = 0; i < WARM_ROUNDS; i++) bed.round();
      for (let i = 0; i < ROUNDS; i++) rounds.push(bed.round());
    }
  }
  const results = beds.map(({ bed, verified, rounds }, index) => {
    const packets = repetitions * (WARM_ROUNDS + ROUNDS) * ROUND;
    const hits = hitsSince(bed, before[index]!, packets);
    const ns = median(rounds);
    return {
      name: bed.scenario.name,
      nsPerPacket: rounded(ns),
      mpps: rounded(1000 / ns),
      spread: rounded(spread(rounds), 2),
      packets,
      hits,
      verified: verified + verify(bed),
    };
  });
  return { scenarios: results, hugePagesMiB: hugePagesMiB() };
}

/** Runs until V8's optimizing compiler is done. */
function warmUp(bed: Bed, say: Say): void {
  say(`warming up ${bed.scenario.name}`);
  const window = () => median(Array.from({ length: WINDOW }, () => bed.round()));
  let last = Number.POSITIVE_INFINITY;
  for (let i = 0; i < MOST_WINDOWS; i++) {
    const now = window();
    if (now > last * (1 - STEADY)) return;
    last = now;
  }
}

/** Compares a sample of what a round sends. @returns packets compared */
function verify(bed: Bed): number {
  const verifier = new Verifier(bed.scenario, bed.engine.config);
  let [sent, verified] = [0, 0];
  bed.round((start, length) => {
    if (sent++ % SAMPLE !== 0) return;
    verifier.check(bed.engine.arena.read(start, length));
    verified++;
  });
  if (sent !== ROUND)
    throw new GuidewayError("BENCH", `${bed.scenario.name}: of ${ROUND} packets ${sent} left`);
  return verified;
}

/** @returns hits among the `packets` since `before` */
function hitsSince(bed: Bed, before: Record<string, number>, packets: number): number {
  const { name, opens } = bed.scenario;
  const after = bed.reasons();
  const since = (reason: string) => (after[reason] ?? 0) - (before[reason] ?? 0);
  const [hits, opened] = [since("hit"), since("new")];
  const enough = opens ? hits === 0 : hits >= LEAST_HITS * packets;
  if (hits + opened === packets && enough) return hits;
  throw new GuidewayError(
    "BENCH",
    `${name}: of ${packets} packets ${hits} were hits and ${opened} new; since the start: ${JSON.stringify(after)}`,
  );
}
