// What the project depends on is declared, used, and pinned. (Unused development tools: knip, in `npm run check`.)
import assert from "node:assert/strict";
import { test } from "node:test";
import { filesIn, importsOf, read, readJson } from "./sources.ts";

interface Package {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  imports: Record<string, string>;
}

interface LockEntry {
  version?: string;
  integrity?: string;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
}

const manifest = readJson<Package>("package.json");
const dependencies = Object.keys(manifest.dependencies);
const devDependencies = Object.keys(manifest.devDependencies);

/** Packages that the sources in these folders import, each with one file that does. */
function packagesOf(...folders: string[]): Map<string, string> {
  const packages = new Map<string, string>();
  for (const path of filesIn(...folders).filter((file) => file.endsWith(".ts"))) {
    for (const target of importsOf(path)) {
      const [, name] = /^((?:@[^/]+\/)?[^/]+)/.exec(target)!;
      if (!/^(node:|#|src$|assembly$|build$|test$|bench$)/.test(name!)) packages.set(name!, path);
    }
  }
  return packages;
}

test("what the command imports is in dependencies", () => {
  const undeclared = [...packagesOf("src", "bench")].filter(([name]) => !dependencies.includes(name));
  assert.deepEqual(undeclared, []);
});

test("what tests import is declared", () => {
  const undeclared = [...packagesOf("test")].filter(
    ([name]) => ![...dependencies, ...devDependencies].includes(name),
  );
  assert.deepEqual(undeclared, []);
});

test("every dependency is imported", () => {
  const imported = packagesOf("src", "bench");
  assert.deepEqual(
    dependencies.filter((name) => !imported.has(name)),
    [],
  );
});

test("every npm package is locked to a version and its content", () => {
  const { packages } = readJson<{ packages: Record<string, LockEntry> }>("package-lock.json");
  const loose = Object.entries(packages).filter(([path, entry]) => {
    // Binaries of other platforms may lack the hash; they are never installed here.
    const foreign = entry.optional && (entry.os || entry.cpu);
    return path !== "" && !(entry.version && (entry.integrity?.startsWith("sha512-") || foreign));
  });
  assert.deepEqual(loose, []);
  assert.ok(Object.keys(packages).length > 1);
});

test("every crate is locked to a version and its content", () => {
  const entries = read("native/Cargo.lock").split("[[package]]").slice(1);
  const loose = entries.filter(
    (entry) =>
      !/^name = "guideway-/m.test(entry) &&
      !(/^version = "\d/m.test(entry) && /^checksum = "[0-9a-f]{64}"$/m.test(entry)),
  );
  assert.deepEqual(loose, []);
  assert.ok(entries.length > 1);
});
