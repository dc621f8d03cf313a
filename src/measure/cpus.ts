// The processors that threads may be pinned to.

import { readFileSync } from "node:fs";
import { loadNative } from "../native.ts";

/** Processors that this process may use, in order. */
export function allowedCpus(): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return list.split(",").flatMap((part) => {
    const [first = 0, last = first] = part.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

/** The same; undefined where threads cannot be pinned, because the addon is not built. */
export function pinnableCpus(): number[] | undefined {
  try {
    loadNative();
  } catch {
    return undefined;
  }
  return allowedCpus();
}
