import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { entryFile } from "../entry.ts";

/** The package's root: the nearest folder above this file with a package.json, from `src/` and from `dist/src/`. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`no package.json above ${import.meta.url}`);
    folder = parent;
  }
  return folder;
}

/** A program of this folder for `node` to run. */
export function entryPoint(name: "server" | "client"): string {
  return entryFile(import.meta.url, `./${name}`);
}
