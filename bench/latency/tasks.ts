// Processor time of threads that started after something else had: those of a pool.

import { readdirSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { runNs } from "../nic/threads.ts";

export class Tasks {
  readonly #before = new Set(readdirSync("/proc/self/task"));

  /** Those that are there now and were not before. */
  #started(): string[] {
    return readdirSync("/proc/self/task").filter((task) => !this.#before.has(task));
  }

  /** @returns what each of them takes of a core in the time to come */
  async shares(millis: number): Promise<number[]> {
    const tasks = this.#started();
    const before = tasks.map(runNs);
    const from = performance.now();
    await sleep(millis);
    const tookNs = (performance.now() - from) * 1e6;
    return tasks.map((task, i) => (runNs(task) - before[i]!) / tookNs);
  }
}
