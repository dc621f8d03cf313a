// Parsing a configuration while the machine runs. A large one takes seconds, in which health checks, the watchdog and
// the admin API would wait: it is parsed in a thread of its own.

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { ConfigError, type ConfigIssue, type LoadedConfig, parseConfig } from "../config/load.ts";
import { entryFile } from "../entry.ts";

export interface ParseTask {
  text: string;
  file: string;
}

export type ParseAnswer = { loaded: LoadedConfig } | { issues: ConfigIssue[] };

/** Up to here it takes less time than a thread does to start, some 100 ms. */
const SMALL_CHARACTERS = 128 << 10;

/** @throws ConfigError */
export async function parseAside({ text, file }: ParseTask): Promise<LoadedConfig> {
  if (text.length <= SMALL_CHARACTERS) return parseConfig(text, file);
  const worker = new Worker(entryFile(import.meta.url, "./parse-task"), { workerData: { text, file } });
  try {
    const [answer] = (await once(worker, "message")) as [ParseAnswer];
    if ("issues" in answer) throw new ConfigError(answer.issues);
    return answer.loaded;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_WORKER_OUT_OF_MEMORY") throw error;
    const message = "it takes more memory than a thread may have, expected a smaller configuration";
    throw new ConfigError([{ file, line: 0, column: 0, path: "", message }], error);
  } finally {
    await worker.terminate();
  }
}
