// Comparing with a kept result, and with another commit. The checkouts are small repositories made here, whose suites say numbers
// that are known.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { resolveCommit } from "../../bench/baseline/checkout.ts";
import { compareCommit } from "../../bench/baseline/commit.ts";
import { compareFile, renderFileComparison } from "../../bench/baseline/file.ts";
import { pairedRows, renderPairs } from "../../bench/baseline/pairs.ts";
import { rowsOf } from "../../bench/rows.ts";
import { guideway } from "../commands/guideway.ts";

const result = (...ns: number[]) => ({
  cases: ns.map((nsPerOperation, i) => ({
    name: `case${i}`,
    nsPerOperation,
    operationsPerSecond: 1e9 / nsPerOperation,
    spread: 0.1,
    samples: 3,
  })),
});

const folder = mkdtempSync(join(tmpdir(), "guideway-baseline-test-"));
after(() => rmSync(folder, { recursive: true, force: true }));

suite("baseline: a file", () => {
  const file = join(folder, "kept.json");
  const options = { date: "2026-11-01T00:00:00.000Z", commit: "0123456789ab" };

  test("is compared row by row", () => {
    writeFileSync(file, JSON.stringify({ ...result(10, 20, 30), ...options }));
    const comparison = compareFile("hash", result(5, 40), file);
    assert.deepEqual(comparison.rows, [
      { name: "case0", unit: "ns", now: 5, before: 10, ratio: 0.5 },
      { name: "case1", unit: "ns", now: 40, before: 20, ratio: 2 },
    ]);
    assert.deepEqual([comparison.onlyNow, comparison.onlyBefore], [[], ["case2"]]);
    const text = renderFileComparison(comparison);
    assert.match(text, /case1 +ns +40 +20 +2\.000/);
    assert.match(text, /case2 is only in/);
    assert.match(text, /commit 0123456789ab, 2026-11-01.*another time, and the machine in another state/s);
  });

  test("may be of several suites", () => {
    writeFileSync(file, JSON.stringify({ hash: result(10), table: result(7), ...options }));
    assert.equal(compareFile("table", result(14), file).rows[0]!.ratio, 2);
  });

  test("that is no result of the suite is refused, before anything is measured", () => {
    for (const [content, message] of [
      ["{", /cannot read .*kept\.json/],
      ["null", /cannot read .*no JSON object/],
      [JSON.stringify({ hash: result(1) }), /kept\.json is no result of bench rings: expected/],
      [JSON.stringify({ cases: [{ name: "push", nsPerOperation: "fast" }] }), /is no result of bench rings/],
    ] as const) {
      writeFileSync(file, content);
      const { status, stdout, stderr } = guideway(["bench", "rings", "--quick", "--baseline", file]);
      assert.deepEqual([status, stdout], [2, ""], content);
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /warming up/);
    }
  });

  test("is for one suite", () => {
    const { status, stderr } = guideway(["bench", "--quick", "--baseline", file]);
    assert.equal(status, 2);
    assert.match(stderr, /--baseline compares one suite/);
  });

  test("that is a commit is not profiled", () => {
    const { status, stderr } = guideway(["bench", "hash", "--quick", "--profile", "--baseline", "HEAD"]);
    assert.equal(status, 2);
    assert.match(stderr, /--profile is of one side/);
  });

  test("results that are kept have rows", () => {
    for (const [suite, name] of [
      ["engine", "2026-11-25-engine"],
      ["nic", "2026-11-24-nic"],
      ["flood", "2026-11-24-flood"],
      ["health", "2026-11-25-health"],
      ["hash", "2026-11-23-hash"],
    ] as const) {
      const kept = readFileSync(new URL(`../../bench/results/${name}.json`, import.meta.url), "utf8");
      const rows = rowsOf(suite, JSON.parse(kept));
      assert.ok(rows.length > 1 && rows.every(({ value }) => value > 0), name);
    }
  });
});

test("a pair's ratio is here by there; of the ratios the median counts", () => {
  const [row] = pairedRows([
    {
      name: "a",
      unit: "ns",
      better: "less",
      pairs: [
        [10, 20],
        [30, 10],
        [10, 10],
        [12, 10],
        [9, 10],
      ],
    },
  ]);
  assert.deepEqual(row, {
    name: "a",
    unit: "ns",
    better: "less",
    here: 10,
    there: 10,
    ratio: 1,
    quartiles: [0.9, 1.2],
    pairs: 5,
  });
  assert.match(renderPairs([row!], "0123456789ab"), /a +ns +10 +10 +1\.000 +0\.900–1\.200 +5 +less/);
});

suite("baseline: a commit", () => {
  const root = join(folder, "checkout");
  const log = join(folder, "log");
  const git = (...args: string[]) =>
    execFileSync("git", ["-c", "user.name=bench", "-c", "user.email=bench@localhost", ...args], {
      cwd: root,
      encoding: "utf8",
    }).trim();
  /** A suite that says a number, and writes down that it ran. */
  const commit = (ns: number, setup = `printf '%s ' "$0" "$@" >build/made`) => {
    writeFileSync(
      join(root, "src", "main.ts"),
      `import { appendFileSync } from "node:fs";
appendFileSync(${JSON.stringify(log)}, "${ns} " + process.argv.slice(2).join(" ") + "\\n");
process.stdout.write(JSON.stringify(${JSON.stringify(result(ns))}));
`,
    );
    writeFileSync(join(root, "scripts", "setup.sh"), `cd "$(dirname "$0")/.."\n${setup}\n`);
    git("add", "-A");
    git("commit", "-qm", `${ns}`);
    return git("rev-parse", "HEAD");
  };
  const said: string[] = [];
  const options = { quick: true, say: (text: string) => void said.push(text) };
  let old = "";
  let broken = "";

  before(() => {
    for (const each of ["src", "scripts", "build", "node_modules"])
      mkdirSync(join(root, each), { recursive: true });
    writeFileSync(join(root, "package.json"), JSON.stringify({ type: "module" }));
    writeFileSync(join(root, "package-lock.json"), "{}");
    writeFileSync(join(root, ".gitignore"), "node_modules\nbuild\n");
    writeFileSync(join(root, "build", "kept"), "");
    git("init", "-q");
    old = commit(20);
    broken = commit(30, "test -f build/kept && test -L node_modules && echo no compiler >&2 && exit 3");
    commit(10);
  });

  test("is built in a worktree of its own and runs by turns", async () => {
    const { baseline, rows } = await compareCommit("hash", "HEAD~2", { ...options, workers: 3 }, root);
    assert.equal(baseline.commit, old);
    assert.deepEqual(rows, [
      {
        name: "case0",
        unit: "ns",
        better: "less",
        here: 10,
        there: 20,
        ratio: 0.5,
        quartiles: [0.5, 0.5],
        pairs: 2,
      },
    ]);
    const run = (ns: number) => `${ns} bench hash --json --quick --workers 3\n`;
    assert.equal(readFileSync(log, "utf8"), (run(10) + run(20)).repeat(2));
  });

  test("leaves nothing behind, nor does one that cannot be built", async () => {
    await assert.rejects(compareCommit("hash", broken, options, root), {
      code: "NOT_BUILT",
      message: /setup\.sh ended with exit code 3/,
    });
    assert.equal(git("worktree", "list").split("\n").length, 1);
    assert.equal(git("status", "--porcelain"), "");
    const paths = said.flatMap((text) => /in (\/\S+)$/.exec(text)?.[1] ?? []);
    assert.equal(paths.length, 2);
    for (const path of paths) assert.ok(!existsSync(join(path, "..")), path);
    assert.ok(!existsSync(join(root, "build", "made")), "the set-up ran in this checkout");
  });

  test("must be one", () => {
    for (const name of ["no-such-commit", "--all", ""])
      assert.throws(() => resolveCommit(name, root), {
        code: "BASELINE",
        message: /neither a file nor a commit/,
      });
  });
});
