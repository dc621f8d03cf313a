// Imports point downward only.
import assert from "node:assert/strict";
import { test } from "node:test";
import { filesIn, importsOf } from "./sources.ts";

/** From the top. A unit is a folder of src/, a file that lies in src/ itself, bench/, or another file outside. */
const LAYERS = [
  ["main"],
  ["commands"],
  ["bench", "demo", "tune"],
  ["admin"],
  ["control", "explain", "replay"],
  ["plan", "measure"],
  ["announce", "health", "io", "lab"],
  ["dataplane"],
  ["config"],
  ["chart", "columns", "log", "mac", "native", "quantiles"],
  ["entry", "errors", "build/native"],
  ["assembly/layout", "assembly/reasons"],
];

/** In these folders each file is a thing of its own. The parts that several of them are made of are named here. */
const INDEPENDENT: Record<string, string[]> = {
  "src/commands": ["connection", "operated-backend", "status-text"],
  "src/admin/metrics": ["metric"],
  "src/io": ["flow-template", "memory-queue", "pcap", "shuffle", "wildcard-steering"],
  "src/health/checks": ["connection", "datagram", "response"],
};

function unitOf(path: string): string {
  return path
    .replace(/^src\/([^/]+)(\/.*)?$/, "$1")
    .replace(/^bench\/.*/, "bench")
    .replace(/(\.d)?\.ts$/, "");
}

function levelOf(path: string): number {
  return LAYERS.findIndex((units) => units.includes(unitOf(path)));
}

/** What the benchmarks have compiled of the data plane. */
const COMPILED = "bench/assembly";
const sources = filesIn("src", "bench").filter(
  (path) => /(?<!\.d)\.ts$/.test(path) && !path.startsWith(`${COMPILED}/`),
);

function relativeImports(path: string): string[] {
  return importsOf(path).filter((target) => /^(src|assembly|build|test|bench)\//.test(target));
}

test("every source has its layer", () => {
  assert.deepEqual(
    sources.filter((path) => levelOf(path) < 0),
    [],
    "add new folders of src/ to LAYERS",
  );
});

test("a source imports its own folder and lower layers", () => {
  const upward = sources.flatMap((path) =>
    relativeImports(path)
      .filter((target) => unitOf(target) !== unitOf(path) && levelOf(target) <= levelOf(path))
      .map((target) => `${path} imports ${target}`),
  );
  assert.deepEqual(upward, []);
});

for (const [folder, parts] of Object.entries(INDEPENDENT)) {
  test(`files of ${folder} do not import each other, only ${parts.join(", ") || "what lies below"}`, () => {
    const sideways = filesIn(folder).flatMap((path) =>
      relativeImports(path)
        .filter((target) => target.startsWith(`${folder}/`))
        .filter((target) => !parts.includes(target.slice(folder.length + 1).replace(/\.ts$/, "")))
        .map((target) => `${path} imports ${target}`),
    );
    assert.deepEqual(sideways, []);
  });
}

test("AssemblyScript imports AssemblyScript, wire formats only each other, and the layout nothing", () => {
  const foreign = filesIn("assembly").flatMap((path) =>
    importsOf(path)
      .filter((target) => {
        if (path === "assembly/layout.ts") return true;
        if (path.startsWith("assembly/wire/")) return !target.startsWith("assembly/wire/");
        return !target.startsWith("assembly/");
      })
      .map((target) => `${path} imports ${target}`),
  );
  assert.deepEqual(foreign, []);
});

test("AssemblyScript of the benchmarks imports AssemblyScript", () => {
  const foreign = filesIn(COMPILED).flatMap((path) =>
    importsOf(path).filter((target) => !target.startsWith("assembly/") && !target.startsWith(`${COMPILED}/`)),
  );
  assert.deepEqual(foreign, []);
});

test("what the self-test expects shares nothing with what it tests", () => {
  const folder = "src/control/forwarder";
  assert.deepEqual(importsOf(`${folder}/flow-hash.ts`), []);
  assert.deepEqual(importsOf(`${folder}/expected.ts`), [
    "src/config/address.ts",
    "src/config/schema.ts",
    "src/dataplane/backend-records.ts",
    `${folder}/encapsulation.ts`,
    `${folder}/flow-hash.ts`,
    `${folder}/translation.ts`,
  ]);
  assert.deepEqual(importsOf(`${folder}/translation.ts`), ["src/config/address.ts", "src/config/schema.ts"]);
  assert.deepEqual(importsOf(`${folder}/encapsulation.ts`), ["src/config/schema.ts", "src/config/tunnel.ts"]);
});

test("imports are found however they are written", () => {
  const found = importsOf("test/structure/layers.test.ts");
  assert.deepEqual(found, ["node:assert/strict", "node:test", "test/structure/sources.ts"]);
  assert.ok(importsOf("src/commands/lab.ts").includes("src/lab/operate.ts"), "import()");
  assert.ok(importsOf("src/native.ts").includes("build/native.d.ts"), "import type");
  assert.ok(importsOf("assembly/forward/forward.ts").includes("assembly/layout"), "over several lines");
});
