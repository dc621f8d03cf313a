// The file of a pool's threads: the worker itself, or the one under the profiler.

import { entryFile } from "../../src/entry.ts";
import { isWanted, namePool } from "./profiler.ts";

/** For WorkerPool's `file`. @param name of the pool, for the profiles of its threads */
export function workerFile(name: string): string {
  namePool(name);
  return entryFile(import.meta.url, isWanted() ? "./worker" : "../../src/dataplane/worker");
}
