// Runs suites and says what came out.

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { GuidewayError } from "../src/errors.ts";
import { packageRoot } from "../src/lab/paths.ts";
import { processorTimes, provenance } from "./machine.ts";
import { profiledAsync, profileTo } from "./profile/profiler.ts";
import { renderProvenance } from "./render.ts";
import type { SuiteName, SuiteOptions } from "./suite.ts";

export interface BenchOptions {
  json: boolean;
  quick: boolean;
  /** File to keep the results in; true for one in bench/results/. */
  out: string | true | undefined;
  /** Most workers of suites with threads; undefined for what the machine has processors for. */
  workers: number | undefined;
  /** A file or a commit to compare with. */
  baseline: string | undefined;
  /** Whether CPU profiles are written beside the results. */
  profile: boolean;
}

interface Measured {
  result: object;
  text: string;
}

/** What only one suite needs is loaded with it. */
const RUN: Record<SuiteName, (options: SuiteOptions) => Promise<Measured>> = {
  async engine(options) {
    const { benchEngine } = await import("./engine.ts");
    const { renderEngine } = await import("./render.ts");
    const result = benchEngine(options);
    return { result, text: renderEngine(result) };
  },
  async nic(options) {
    const { benchNic } = await import("./nic.ts");
    const { renderNic } = await import("./render.ts");
    const result = benchNic(options);
    return { result, text: renderNic(result) };
  },
  async hash(options) {
    const { benchHash } = await import("./hash.ts");
    const { renderMicro } = await import("./render.ts");
    const result = benchHash(options);
    return { result, text: renderMicro("hash", result) };
  },
  async table(options) {
    const { benchTable } = await import("./table.ts");
    const { renderMicro } = await import("./render.ts");
    const result = benchTable(options);
    return { result, text: renderMicro("table", result) };
  },
  async conntrack(options) {
    const { benchConntrack } = await import("./conntrack.ts");
    const { renderMicro } = await import("./render.ts");
    const result = benchConntrack(options);
    return { result, text: renderMicro("conntrack", result) };
  },
  async rings(options) {
    const { benchRings } = await import("./rings.ts");
    const { renderMicro } = await import("./render.ts");
    const result = await benchRings(options);
    return { result, text: renderMicro("rings", result) };
  },
  async scale(options) {
    const { benchScale } = await import("./scale.ts");
    const { renderScale } = await import("./render-threads.ts");
    const result = await benchScale(options);
    return { result, text: renderScale(result) };
  },
  async swap(options) {
    const { benchSwap } = await import("./swap.ts");
    const { renderSwap } = await import("./render-threads.ts");
    const result = await benchSwap(options);
    return { result, text: renderSwap(result) };
  },
  async latency(options) {
    const { benchLatency } = await import("./latency.ts");
    const { renderLatency } = await import("./render-threads.ts");
    const result = await benchLatency(options);
    return { result, text: renderLatency(result) };
  },
  async flood(options) {
    const { benchFlood } = await import("./flood.ts");
    const { renderFlood } = await import("./render.ts");
    const result = benchFlood(options);
    return { result, text: renderFlood(result) };
  },
  async health(options) {
    const { benchHealth } = await import("./health.ts");
    const { renderHealth } = await import("./render.ts");
    const result = await benchHealth(options);
    return { result, text: renderHealth(result) };
  },
};

/** Suites that measure in the thread that calls them; the others in threads of their own. */
const MEASURES_HERE: readonly SuiteName[] = ["engine", "hash", "table", "conntrack", "rings", "flood"];

/**
 * @throws GuidewayError BENCH when what was measured is not what should have been, BASELINE when there is nothing to compare with
 */
export async function bench(suites: readonly SuiteName[], options: BenchOptions): Promise<void> {
  const { json, quick, out, workers, baseline, profile } = options;
  const before = processorTimes();
  const date = new Date().toISOString();
  const file = out === undefined || out === true ? defaultFile(suites, date) : out;
  const against = baseline === undefined ? undefined : await chooseBaseline(suites, baseline);
  if (profile && against && "commit" in against) {
    throw new GuidewayError(
      "BASELINE",
      "--profile is of one side, --baseline with a commit runs two: use one of them at a time",
      { exitCode: 2 },
    );
  }
  if (profile) profileTo(file.replace(/\.json$/, ""));
  const results: Partial<Record<SuiteName, object>> = {};
  for (const suite of suites) {
    const say = (progress: string) => void process.stderr.write(`bench ${suite}: ${progress}\n`);
    if (suite === "nic" && suites.length > 1 && process.geteuid?.() !== 0) {
      say("left out: it needs root");
      continue;
    }
    const { result, text } = await measure(
      suite,
      { quick, say, ...(workers !== undefined && { workers }) },
      against,
    );
    results[suite] = result;
    if (!json) process.stdout.write(`${text}\n\n`);
  }
  const where = provenance(before);
  if (!json) process.stdout.write(`${renderProvenance(where)}\n`);
  // One suite's result stands by itself, several under their names.
  const all = { ...(suites.length === 1 ? results[suites[0]!] : results), ...where };
  const text = `${JSON.stringify(all, null, 2)}\n`;
  if (json) process.stdout.write(text);
  if (out !== undefined) keep(file, text);
}

type Against = { file: string } | { commit: string };

/** @throws GuidewayError BASELINE before anything is measured */
async function chooseBaseline(suites: readonly SuiteName[], baseline: string): Promise<Against> {
  if (suites.length !== 1) {
    throw new GuidewayError(
      "BASELINE",
      "--baseline compares one suite: say which, as in bench engine --baseline …",
      {
        exitCode: 2,
      },
    );
  }
  if (existsSync(baseline)) {
    const { checkFile } = await import("./baseline/file.ts");
    checkFile(suites[0]!, baseline);
    return { file: baseline };
  }
  const { resolveCommit } = await import("./baseline/checkout.ts");
  return { commit: resolveCommit(baseline) };
}

async function measure(suite: SuiteName, options: SuiteOptions, against?: Against): Promise<Measured> {
  if (against && "commit" in against) {
    const { compareCommit } = await import("./baseline/commit.ts");
    const { renderPairs } = await import("./baseline/pairs.ts");
    const result = await compareCommit(suite, against.commit, options);
    return {
      result,
      text: `bench ${suite}\n${renderPairs(result.rows, result.baseline.commit.slice(0, 12))}`,
    };
  }
  const run = () => RUN[suite](options);
  const measured = await (MEASURES_HERE.includes(suite) ? profiledAsync("main", run) : run());
  if (!against) return measured;
  const { compareFile, renderFileComparison } = await import("./baseline/file.ts");
  const comparison = compareFile(suite, measured.result, against.file);
  return {
    result: { ...measured.result, baseline: comparison },
    text: `${measured.text}\n\n${renderFileComparison(comparison)}`,
  };
}

function defaultFile(suites: readonly SuiteName[], date: string): string {
  const name = suites.length === 1 ? suites[0] : "all";
  return join(packageRoot(), "bench", "results", `${date.slice(0, 10)}-${name}.json`);
}

function keep(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  process.stderr.write(`bench: kept in ${file}\n`);
}
