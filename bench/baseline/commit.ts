// Against another commit, by turns: this checkout's suite, the other's, and so on, each a process with its own sources and its own
// build/. The scenarios of `engine` take turns of milliseconds instead (sides.ts).

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { GuidewayError } from "../../src/errors.ts";
import { packageRoot } from "../../src/lab/paths.ts";
import { type Row, rowsOf } from "../rows.ts";
import type { SuiteName, SuiteOptions } from "../suite.ts";
import { checkOut, resolveCommit } from "./checkout.ts";
import { type PairedRow, type Pairs, pairedRows } from "./pairs.ts";
import { engineTurns } from "./sides.ts";

/** Pairs of whole runs, and of turns. */
const PAIRS = 5;
const QUICK_PAIRS = 2;
const TURNS = 40;
const QUICK_TURNS = 5;
const SIGNALS = ["SIGINT", "SIGTERM"] as const;
const QUICK_PATTERN = "^ipv4-l2-(hit-1k|new)$";

export interface CommitComparison {
  /** The other's full name. */
  baseline: { commit: string };
  rows: PairedRow[];
}

/**
 * @param name of the other commit
 * @param root this side's checkout
 * @throws GuidewayError BASELINE, NOT_BUILT
 */
export async function compareCommit(
  suite: SuiteName,
  name: string,
  options: SuiteOptions,
  root = packageRoot(),
): Promise<CommitComparison> {
  const { quick, say } = options;
  const commit = resolveCommit(name, root);
  const checkout = checkOut(commit, suite === "nic" ? ["bench"] : [], say, root);
  // The worktree goes even when this is interrupted.
  const interrupted = () => {
    checkout.remove();
    process.exit(130);
  };
  for (const signal of SIGNALS) process.once(signal, interrupted);
  try {
    const pairs =
      suite === "engine"
        ? await engineTurns(root, checkout.path, quick ? QUICK_PATTERN : "", quick ? QUICK_TURNS : TURNS)
        : await suitePairs(suite, [root, checkout.path], options);
    return { baseline: { commit }, rows: pairedRows(pairs) };
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupted);
    checkout.remove();
  }
}

async function suitePairs(
  suite: SuiteName,
  [here, there]: [string, string],
  options: SuiteOptions,
): Promise<Pairs[]> {
  const pairs = options.quick ? QUICK_PAIRS : PAIRS;
  const rows = new Map<string, { row: Row; pairs: [number, number][] }>();
  for (let pair = 1; pair <= pairs; pair++) {
    options.say(`pair ${pair} of ${pairs}`);
    const own = await run(suite, here, options);
    const other = new Map((await run(suite, there, options)).map((row) => [row.name, row]));
    for (const row of own) {
      const same = other.get(row.name);
      if (!same) continue;
      const known = rows.get(row.name) ?? { row, pairs: [] };
      known.pairs.push([row.value, same.value]);
      rows.set(row.name, known);
    }
  }
  if (rows.size === 0)
    throw new GuidewayError("BASELINE", `the two results of bench ${suite} have no row in common`);
  return [...rows.values()].map(({ row: { name, unit, better }, pairs }) => ({ name, unit, better, pairs }));
}

/** A whole run of a checkout's suite. */
async function run(suite: SuiteName, checkout: string, { quick, workers }: SuiteOptions): Promise<Row[]> {
  const args = [
    join(checkout, "src", "main.ts"),
    "bench",
    suite,
    "--json",
    ...(quick ? ["--quick"] : []),
    ...(workers === undefined ? [] : ["--workers", String(workers)]),
  ];
  const child = spawn(process.execPath, args, { cwd: checkout, stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit"),
  ]);
  if (status === 0) return rowsOf(suite, JSON.parse(stdout));
  throw new GuidewayError(
    "BASELINE",
    `bench ${suite} failed in ${checkout} (an older commit may not have this suite): ${stderr.trim().split("\n").at(-1)}`,
  );
}
