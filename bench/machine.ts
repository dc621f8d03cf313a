// Where and when something was measured.

import { execFileSync, type StdioOptions } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem } from "node:os";
import { packageRoot } from "../src/lab/paths.ts";
import { rounded } from "../src/quantiles.ts";

export interface MachineFacts {
  cpu: string;
  cores: number;
  memoryGiB: number;
  kernel: string;
  node: string;
  v8: string;
}

/** What every result carries. */
export interface Provenance {
  machine: MachineFacts;
  /** ISO 8601. */
  date: string;
  /** The commit, with `-dirty` when files differ from it; undefined where there is no repository. */
  commit: string | undefined;
  /** Share of the machine's processor time that others took while it was measured. More than little means: again. */
  disturbance: number;
}

/** @param before what processorTimes() was when it began */
export function provenance(before: ProcessorTimes): Provenance {
  const after = processorTimes();
  const others = after.busy - before.busy - (after.own - before.own);
  return {
    machine: {
      cpu: cpus()[0]?.model.trim() ?? "unknown",
      cores: availableParallelism(),
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      kernel: release(),
      node: process.versions.node,
      v8: process.versions.v8,
    },
    date: new Date().toISOString(),
    commit: commit(),
    disturbance: rounded(Math.max(0, others / (after.all - before.all)), 2),
  };
}

/** Clock ticks since boot: of all processors, of these not idle, and of this process and the children that ended. */
export interface ProcessorTimes {
  all: number;
  busy: number;
  own: number;
}

/** See proc(5): /proc/stat and /proc/pid/stat. */
export function processorTimes(): ProcessorTimes {
  const machine = readFileSync("/proc/stat", "utf8")
    .split("\n", 1)[0]!
    .trim()
    .split(/\s+/)
    .slice(1, 9)
    .map(Number);
  const all = machine.reduce((sum, ticks) => sum + ticks, 0);
  const [, , , idle = 0, waiting = 0] = machine;
  // The name in parentheses may have spaces; utime, stime, cutime and cstime are fields 14 to 17.
  const text = readFileSync("/proc/self/stat", "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const own = fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0);
  return { all, busy: all - idle - waiting, own };
}

function commit(): string | undefined {
  try {
    const args = ["describe", "--always", "--dirty", "--abbrev=12"];
    const stdio: StdioOptions = ["ignore", "pipe", "ignore"];
    return execFileSync("git", args, { cwd: packageRoot(), encoding: "utf8", stdio }).trim();
  } catch {
    return undefined;
  }
}
