// Programs of ours that other processes and threads run: TypeScript in a checkout, JavaScript when installed.

import { fileURLToPath } from "node:url";

/** File of a module that lies beside or below another: entryFile(import.meta.url, "./worker"). */
export function entryFile(from: string, module: string): string {
  return fileURLToPath(new URL(`${module}.${from.endsWith(".ts") ? "ts" : "js"}`, from));
}
