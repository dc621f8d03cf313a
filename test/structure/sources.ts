// The project's files, and what each of them imports.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

export function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

export function readJson<T>(path: string): T {
  return JSON.parse(read(path)) as T;
}

/** Paths of all files below the folders, from the project's root, without what is built. */
export function filesIn(...folders: string[]): string[] {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length))
      .filter((path) => !path.startsWith("native/target/"))
      .sort(),
  );
}

/**
 * What a file imports and re-exports, types included, statically and by import(): relative ones as paths from the
 * project's root, others as they are written.
 */
export function importsOf(path: string): string[] {
  const statements = read(path).matchAll(
    /^\s*(?:import|export)\b(?:[^"';]*?\bfrom)?\s*"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/gm,
  );
  return [...statements].map(([, fixed, dynamic]) => {
    const name = (fixed ?? dynamic)!;
    return name.startsWith(".") ? posix.join(dirname(path), name) : name;
  });
}
