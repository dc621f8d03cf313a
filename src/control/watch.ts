// Watching a configuration file. Editors and configuration management replace files rather than write into them, or swap a
// link that leads to them, so it is the folder that is watched, and the file that is looked at.
//
//   event in the folder   SETTLE_MS later
//   of the file           counted from the last one: it is written in several steps
//   of another            counted from the first one: others may be written all the time

import { type FSWatcher, statSync, watch } from "node:fs";
import { basename, dirname } from "node:path";
import type { Logger } from "../log.ts";

const SETTLE_MS = 200;

/** Calls back after a file was written, replaced or removed. @returns a function that ends it */
export function watchFile(file: string, changed: () => void, log: Logger): () => void {
  let settling: NodeJS.Timeout | undefined;
  let watcher: FSWatcher | undefined;
  let known = versionOf(file);
  const look = () => {
    settling = undefined;
    const now = versionOf(file);
    if (now === known) return;
    known = now;
    changed();
  };
  try {
    watcher = watch(dirname(file), { persistent: false }, (_event, name) => {
      if (name === null || name === basename(file)) {
        clearTimeout(settling);
        settling = undefined;
      }
      settling ??= setTimeout(look, SETTLE_MS).unref();
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

/** What is another after the file was written or replaced; the file itself, not a link to it. */
function versionOf(file: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "unreadable";
  }
}
