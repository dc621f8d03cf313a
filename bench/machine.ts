// Where and when something was measured.

import { execFileSync } from "node:child_process";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";
import { packageRoot } from "../src/lab/paths.ts";

export interface MachineFacts {
  cpu: string;
  cores: number;
  memoryGiB: number;
  kernel: string;
  node: string;
  v8: string;
  /** Load average of the last minute when it began: what else was running. */
  load: number;
}

/** What every result carries. */
export interface Provenance {
  machine: MachineFacts;
  /** ISO 8601. */
  date: string;
  /** The commit, with `-dirty` when files differ from it; undefined where there is no repository. */
  commit: string | undefined;
}

export function provenance(): Provenance {
  return {
    machine: {
      cpu: cpus()[0]?.model.trim() ?? "unknown",
      cores: availableParallelism(),
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      kernel: release(),
      node: process.versions.node,
      v8: process.versions.v8,
      load: Number(loadavg()[0]!.toFixed(2)),
    },
    date: new Date().toISOString(),
    commit: commit(),
  };
}

function commit(): string | undefined {
  try {
    const args = ["describe", "--always", "--dirty", "--abbrev=12"];
    return execFileSync("git", args, {
      cwd: packageRoot(),
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return undefined;
  }
}
