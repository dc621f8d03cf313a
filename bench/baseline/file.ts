// Against a result that was kept: of another time, and of whatever state the machine was in then.

import { readFileSync } from "node:fs";
import { columns } from "../../src/columns.ts";
import { GuidewayError } from "../../src/errors.ts";
import type { Provenance } from "../machine.ts";
import { type Row, rowsOf } from "../rows.ts";
import type { SuiteName } from "../suite.ts";

export interface FileComparison {
  file: string;
  /** Of the file, as far as it says so. */
  baseline: Partial<Pick<Provenance, "date" | "commit" | "disturbance" | "machine">>;
  rows: { name: string; unit: string; now: number; before: number; ratio: number }[];
  /** Rows that only one of them has. */
  onlyNow: string[];
  onlyBefore: string[];
}

interface Kept extends Partial<Provenance> {
  [suite: string]: unknown;
}

/**
 * Reads a suite's rows from a file that `--out` has written, of this suite alone or of several.
 * @throws GuidewayError BASELINE
 */
function readRows(suite: SuiteName, file: string): { kept: Kept; rows: Row[] } {
  let kept: Kept;
  try {
    kept = JSON.parse(readFileSync(file, "utf8"));
    if (typeof kept !== "object" || kept === null) throw new TypeError("it is no JSON object");
  } catch (cause) {
    throw new GuidewayError("BASELINE", `cannot read ${file}: ${(cause as Error).message}`, {
      cause,
      exitCode: 2,
    });
  }
  const own = kept[suite];
  try {
    const rows = rowsOf(suite, typeof own === "object" && own !== null ? own : kept);
    if (rows.every(({ name, value }) => typeof name === "string" && Number.isFinite(value)))
      return { kept, rows };
  } catch {
    // Something of another shape.
  }
  throw new GuidewayError(
    "BASELINE",
    `${file} is no result of bench ${suite}: expected a file that "guideway bench ${suite} --out" wrote`,
    { exitCode: 2 },
  );
}

/** @throws GuidewayError BASELINE when the file cannot be used: to be asked before hours are spent */
export function checkFile(suite: SuiteName, file: string): void {
  readRows(suite, file);
}

/** @throws GuidewayError BASELINE */
export function compareFile(suite: SuiteName, result: object, file: string): FileComparison {
  const { kept, rows } = readRows(suite, file);
  const now = rowsOf(suite, result);
  const before = new Map(rows.map((row) => [row.name, row.value]));
  const names = new Set(now.map(({ name }) => name));
  const { date, commit, disturbance, machine } = kept;
  return {
    file,
    baseline: {
      ...(date && { date }),
      ...(commit && { commit }),
      ...(disturbance !== undefined && { disturbance }),
      ...(machine && { machine }),
    },
    rows: now
      .filter(({ name }) => before.has(name))
      .map(({ name, unit, value }) => {
        const old = before.get(name)!;
        return { name, unit, now: value, before: old, ratio: value / old };
      }),
    onlyNow: now.map(({ name }) => name).filter((name) => !before.has(name)),
    onlyBefore: rows.map(({ name }) => name).filter((name) => !names.has(name)),
  };
}

export function renderFileComparison({ file, baseline, rows, onlyNow, onlyBefore }: FileComparison): string {
  const lines = rows.map(({ name, unit, now, before, ratio }) => [
    name,
    unit,
    String(now),
    String(before),
    ratio.toFixed(3),
  ]);
  const { machine, commit, date } = baseline;
  const missing = [
    ...onlyNow.map((name) => `${name} is not in ${file}`),
    ...onlyBefore.map((name) => `${name} is only in ${file}`),
  ];
  return [
    columns([["baseline", "", "now", "before", "now / before"], ...lines], [2, 3, 4]),
    ...missing,
    `before: ${file}, commit ${commit ?? "unknown"}, ${date ?? "at an unknown time"}` +
      `${machine ? `, ${machine.cpu}, ${machine.cores} cores, Node ${machine.node}` : ""}. That was another time, and the ` +
      "machine in another state: what both differ by may be that. To compare code, give a commit",
  ].join("\n");
}
