// Processor time of threads, from /proc.

import { readdirSync, readFileSync } from "node:fs";

/** Nanoseconds that the threads of this process that are pinned to a processor have run on it. */
export function pinnedThreadsNs(cpu: number): number {
  const tasks = readdirSync("/proc/self/task");
  return tasks.reduce((sum, task) => sum + (pinnedTo(task) === `${cpu}` ? runNs(task) : 0), 0);
}

function read(task: string, file: string): string {
  try {
    return readFileSync(`/proc/self/task/${task}/${file}`, "utf8");
  } catch {
    // It ended meanwhile.
    return "";
  }
}

function pinnedTo(task: string): string | undefined {
  return /^Cpus_allowed_list:\s*(\S+)$/m.exec(read(task, "status"))?.[1];
}

/** Nanoseconds that a thread of this process was on a processor: the first number of schedstat (Documentation/scheduler/sched-stats.rst). */
export function runNs(task: string): number {
  return Number(read(task, "schedstat").split(" ")[0] || 0);
}
