// The thread of parse.ts: one text, one answer.

import { parentPort, workerData } from "node:worker_threads";
import { ConfigError, parseConfig } from "../config/load.ts";
import type { ParseAnswer, ParseTask } from "./parse.ts";

function answer({ text, file }: ParseTask): ParseAnswer {
  try {
    return { loaded: parseConfig(text, file) };
  } catch (error) {
    if (error instanceof ConfigError) return { issues: [...error.issues] };
    throw error;
  }
}

parentPort!.postMessage(answer(workerData as ParseTask));
