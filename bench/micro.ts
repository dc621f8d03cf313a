// Functions of nanoseconds to milliseconds, timed by tinybench.

import { Bench } from "tinybench";
import { GuidewayError } from "../src/errors.ts";
import { median, rounded, spread } from "../src/quantiles.ts";
import type { SuiteOptions } from "./suite.ts";

/** How long each case runs, milliseconds. */
const TIME_MS = 1500;
const QUICK_MS = 50;
const WARM_MS = 500;

export interface Case {
  name: string;
  /** Operations that one call makes: so many that the timer does not matter. */
  operations: number;
  run: () => void;
  /** What the design asks for, nanoseconds per operation. */
  targetNs?: number;
}

export interface MicroResult {
  cases: {
    name: string;
    nsPerOperation: number;
    operationsPerSecond: number;
    /** (p90 − p10) / median. */
    spread: number;
    samples: number;
    targetNs?: number;
  }[];
}

/** A row of samples. @param unitNs nanoseconds per operation that a sample's 1 stands for */
export function microCase(
  name: string,
  samples: number[],
  targetNs: number | undefined,
  unitNs = 1,
): MicroResult["cases"][number] {
  const ns = median(samples) * unitNs;
  return {
    name,
    nsPerOperation: rounded(ns),
    operationsPerSecond: rounded(1e9 / ns),
    spread: rounded(spread(samples), 2),
    samples: samples.length,
    ...(targetNs !== undefined && { targetNs }),
  };
}

/** @throws GuidewayError BENCH when a case fails */
export function runCases(cases: readonly Case[], { quick, say }: SuiteOptions): MicroResult {
  const bench = new Bench({
    time: quick ? QUICK_MS : TIME_MS,
    warmupTime: quick ? QUICK_MS : WARM_MS,
    iterations: quick ? 3 : 10,
    warmupIterations: 3,
    retainSamples: true,
    throws: true,
  });
  for (const { name, run } of cases) {
    bench.add(name, run, {
      beforeAll: (mode) => {
        if (mode === "run") say(name);
      },
    });
  }
  bench.runSync();
  return {
    cases: bench.tasks.map(({ name, result }, index) => {
      if (!("latency" in result))
        throw new GuidewayError("BENCH", `${name}: there is no result, but "${result.state}"`);
      const { operations, targetNs } = cases[index]!;
      const samples = result.latency.samples!;
      return microCase(name, samples, targetNs, 1e6 / operations);
    }),
  };
}
