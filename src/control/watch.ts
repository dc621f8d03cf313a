// Watching a configuration file. Editors and configuration management replace files rather than write into them, so it is
// the folder that is watched.

import { type FSWatcher, watch } from "node:fs";
import { basename, dirname } from "node:path";
import type { Logger } from "../log.ts";

/** A file is written in several steps: what counts is the last one. */
const SETTLE_MS = 200;

/** Calls back after a file was written or replaced. @returns a function that ends it */
export function watchFile(file: string, changed: () => void, log: Logger): () => void {
  let settling: NodeJS.Timeout | undefined;
  let watcher: FSWatcher | undefined;
  try {
    watcher = watch(dirname(file), { persistent: false }, (_event, name) => {
      if (name !== null && name !== basename(file)) return;
      clearTimeout(settling);
      settling = setTimeout(changed, SETTLE_MS);
    });
    watcher.on("error", (error) => log.error({ file, reason: error.message }, "is not watched any more"));
  } catch (error) {
    log.error(
      { file, reason: (error as Error).message },
      "cannot be watched: reload it by command or signal",
    );
  }
  return () => {
    clearTimeout(settling);
    watcher?.close();
  };
}
