import { entryFile } from "../../src/entry.ts";
export function workerFile(): string {
  return entryFile(import.meta.url, "../../src/dataplane/worker");
}
