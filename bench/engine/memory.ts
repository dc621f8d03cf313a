// Huge pages of the benchmarks' arenas.

import { readFileSync } from "node:fs";

/** MiB of this process that lie in huge pages. */
export function hugePagesMiB(): number {
  const kib = /^AnonHugePages:\s+(\d+) kB/m.exec(readFileSync("/proc/self/smaps_rollup", "utf8"))?.[1];
  return Math.round(Number(kib ?? 0) / 1024);
}
