// CPU profiles of the suites, folded stacks and flame graphs.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import type { Profiler } from "node:inspector";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { flameGraph } from "../../bench/profile/flame.ts";
import { fold } from "../../bench/profile/fold.ts";
import { bodies } from "../../bench/profile/names.ts";
import { quickBench } from "./bench.ts";

function node(id: number, functionName: string, ...children: number[]): Profiler.ProfileNode {
  const callFrame = { functionName, scriptId: "0", url: "", lineNumber: 0, columnNumber: 0 };
  return { id, callFrame, children };
}

suite("profiles", () => {
  const folder = mkdtempSync(join(tmpdir(), "guideway-profile-"));
  after(() => rmSync(folder, { recursive: true }));

  test("folded, a stack has the time of its samples", () => {
    const nodes = [
      node(1, "(root)", 2, 5),
      node(2, "main", 3, 4),
      node(3, "a;b"),
      node(4, ""),
      node(5, "(idle)"),
    ];
    const folded = fold({
      nodes,
      startTime: 0,
      endTime: 10,
      samples: [3, 2, 3, 4, 5, 1],
      timeDeltas: [1, 2, 4, 8, 16, 32],
    });
    assert.deepEqual(
      [...folded],
      [
        ["main;a,b", 5],
        ["main", 2],
        ["main;(anonymous)", 8],
        ["(idle)", 16],
      ],
    );
  });

  test("in a flame graph callees stand on their callers, as wide as their time", () => {
    const svg = flameGraph(
      new Map([
        ["main;left", 250_000],
        ["main;right<T>", 500_000],
        ["main", 250_000],
      ]),
      'a "title"',
    );
    const boxes = [
      ...svg.matchAll(/<title>([^:]*): ([^<]*)<\/title><rect x="([\d.]+)" y="(\d+)" width="([\d.]+)"/g),
    ].map(([, name, time, x, y, width]) => ({
      name,
      time,
      x: Number(x),
      y: Number(y),
      width: Number(width),
    }));
    assert.deepEqual(
      boxes.map(({ name, time }) => `${name} ${time}`),
      [
        "all 1000.0 ms, 100.0%",
        "main 1000.0 ms, 100.0%",
        "left 250.0 ms, 25.0%",
        "right&#60;T&#62; 500.0 ms, 50.0%",
      ],
    );
    const [all, main, left, right] = boxes;
    assert.equal(right!.width, 2 * left!.width);
    assert.equal(main!.width, 4 * left!.width);
    assert.equal(right!.x, left!.x + left!.width);
    assert.ok(left!.y === right!.y && left!.y < main!.y && main!.y < all!.y);
    assert.match(svg, /a &#34;title&#34;/);
  });

  test("a flame graph of nothing is one", () => {
    assert.match(flameGraph(new Map(), "nothing"), /^<svg [\s\S]*<\/svg>\n$/);
  });

  test("bodies of functions are found where the binary has them", () => {
    // (module (func) (func i32.const 1 drop)): the code section is at 17, its count at 19.
    const binary = Uint8Array.of(
      ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...[1, 4, 1, 0x60, 0, 0],
      ...[3, 3, 2, 0, 0],
      ...[10, 10, 2, 2, 0, 0x0b, 5, 0, 0x41, 1, 0x1a, 0x0b],
    );
    assert.deepEqual(bodies(binary), [23, 26]);
    const dataplane = readFileSync(fileURLToPath(import.meta.resolve("#dataplane.wasm")));
    const text = readFileSync(
      fileURLToPath(import.meta.resolve("#dataplane.wasm")).replace(/wasm$/, "wat"),
      "utf8",
    );
    assert.equal(bodies(dataplane).length, text.match(/^ \(func /gm)!.length);
  });

  test("--profile writes a profile and a flame graph of each thread that measures", () => {
    quickBench("swap", "--profile", "--workers", "1", "--out", join(folder, "result.json"));
    const names = ["result-hits-worker0", "result-lookups-worker0"];
    assert.deepEqual(
      readdirSync(folder).sort(),
      [...names.flatMap((name) => [`${name}.cpuprofile`, `${name}.svg`]), "result.json"].sort(),
    );
    for (const name of names) {
      const profile = JSON.parse(
        readFileSync(join(folder, `${name}.cpuprofile`), "utf8"),
      ) as Profiler.Profile;
      const functions = new Set(profile.nodes.map(({ callFrame }) => callFrame.functionName));
      // The data plane's by the names of their sources, though the binary has none.
      for (const wanted of ["assembly/worker/run", "assembly/pipeline/process", "bench/assembly/kernel/feed"])
        assert.ok(functions.has(wanted), `${wanted} of ${[...functions].join(", ")}`);
      assert.match(readFileSync(join(folder, `${name}.svg`), "utf8"), /<title>assembly\/pipeline\/process: /);
    }
  });
});
