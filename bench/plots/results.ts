// What is kept in bench/results: for each suite the newest result, and its rows, whatever else a result has.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { GuidewayError } from "../../src/errors.ts";

export type Row = Readonly<Record<string, unknown>>;

export interface Kept {
  /** Its name in the folder. */
  file: string;
  result: Row;
  /** Processor, number of processors, and commit, as far as it says. */
  where: string;
}

const isRow = (value: unknown): value is Row =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** `2026-11-25-engine.json`, `2026-11-25-all.json`. */
const NAME = /^(\d{4}-\d{2}-\d{2})-([a-z]+)\.json$/;

/**
 * The newest result of a suite: of a file of its own, or of one of all suites; undefined where there is none.
 * @throws GuidewayError PLOTS for a file that is no JSON object
 */
export function newestOf(suite: string, folder: string): Kept | undefined {
  const files = readdirSync(folder).filter((file) => [suite, "all"].includes(NAME.exec(file)?.[2] ?? ""));
  // By date; of one day, the suite's own is after the one of all.
  for (const file of files.sort().toReversed()) {
    const all = parsed(join(folder, file));
    const result = NAME.exec(file)![2] === suite ? all : all[suite];
    if (!isRow(result)) continue;
    const machine = isRow(all.machine) ? all.machine : {};
    const where = [
      machine.cpu,
      machine.cores && `${machine.cores} processors`,
      all.commit && `commit ${all.commit}`,
    ];
    return { file, result, where: where.filter(Boolean).join(", ") };
  }
  return undefined;
}

function parsed(path: string): Row {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new GuidewayError(
      "PLOTS",
      `${path} is no JSON: ${(error as Error).message}: remove it, or measure again`,
      {
        cause: error,
      },
    );
  }
  if (isRow(value)) return value;
  throw new GuidewayError("PLOTS", `${path} has no JSON object, expected what bench --out writes`);
}

/** The rows of a result, whatever their list is called. */
export function rowsOf(result: Row): Row[] {
  const lists = [result.rows, result.scenarios, result.cases];
  return lists.filter((list) => Array.isArray(list)).flatMap((list: unknown[]) => list.filter(isRow));
}

/** A number of a row; undefined where it has none that can be drawn. */
export function numberOf(row: Row, ...keys: string[]): number | undefined {
  return keys.map((key) => row[key]).find((value): value is number => Number.isFinite(value));
}

/** What of a row's name matches; empty where it has none, or another one. */
export function nameOf(row: Row, pattern: RegExp): string[] {
  return typeof row.name === "string" ? (pattern.exec(row.name)?.slice(1) ?? []) : [];
}

/** A row's point: its error bar as wide as the row says, (p90 − p10) / median, where it does not say both ends. */
export function pointOf(x: number, y: number, row: Row): { x: number; y: number; low: number; high: number } {
  const half = (numberOf(row, "spread") ?? 0) / 2;
  const low = numberOf(row, "low") ?? y * Math.max(0, 1 - half);
  return { x, y, low, high: numberOf(row, "high") ?? y * (1 + half) };
}
