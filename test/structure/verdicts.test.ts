// docs/verdicts.md names every reason, with its verdict, cause and cure, and what it says of the code is so.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as L from "../../assembly/layout.ts";
import { parseConfig } from "../../src/config/load.ts";
import { planArena } from "../../src/dataplane/plan.ts";
import { reasonCode, reasons, verdictOf } from "../../src/dataplane/reasons.ts";
import { filesIn, read } from "./sources.ts";

const rows = read("docs/verdicts.md")
  .split("## Reasons")[1]!
  .split("\n")
  .filter((line) => line.startsWith("| `"))
  .map((line) => line.split("|").slice(1, -1))
  .map((cells) => cells.map((cell) => cell.trim()));

test("the table has the reasons in the order of their codes, with their verdicts", () => {
  const expected = [...reasons].map(([code, name]) => [`\`${name}\``, verdictOf(code)]);
  assert.deepEqual(
    rows.map(([name, verdict]) => [name, verdict]),
    expected,
  );
});

test("every reason has a cause and a cure", () => {
  for (const row of rows) {
    assert.equal(row.length, 4, row.join());
    assert.ok(
      row.every((cell) => cell.length > 0),
      row.join(),
    );
  }
});

const planOf = (yaml: string) =>
  planArena(parseConfig(`${yaml}\npools: {}\nvips: []\n`, "plan.yaml").config, { queues: 1, workers: 1 });

test("every reason is given by the code, and no other is", () => {
  const code = filesIn("assembly", "src")
    .filter((path) => path.endsWith(".ts") && !path.endsWith("/reasons.ts"))
    .map(read)
    .join("\n");
  const given = new Set(code.match(/\bREASON_[A-Z_]+\b/g));
  const constants = [...reasons.values()].map((name) => `REASON_${name.toUpperCase().replaceAll("-", "_")}`);
  assert.deepEqual(
    constants.filter((each) => !given.has(each)),
    [],
    "reasons that nothing ends with",
  );
});

test("the numbers are those of the code", () => {
  const cause = (reason: string) => rows.find(([name]) => name === `\`${reason}\``)![2]!;
  assert.match(cause("fragment-timeout"), new RegExp(`\\b${L.FRAGMENT_HELD_MS} ms\\b`));
  const { heldLimit } = planOf("frames: { count: 100000 }");
  assert.match(
    cause("fragment-limit"),
    new RegExp(`\\b${L.HELD_FRAGMENTS} of its shard, or ${heldLimit} or an eighth\\b`),
  );
  assert.equal(planOf("frames: { count: 1600 }").heldLimit, 1600 / 8);
  assert.equal(L.MAX_EXTENSION_HEADERS, 8);
  assert.match(cause("extension-header"), /more than eight extension headers/);
});

test("the keys of the configuration are there", () => {
  const keys = read("docs/verdicts.md")
    .match(/`[a-z]\w+(\.\w+)*(: [^`]+)?`/g)!
    .map((each) => each.slice(1, -1));
  const documented = read("docs/configuration.md");
  const missing = keys
    .filter((key) => /[.:]/.test(key))
    .map((key) => key.replace(/:.*/, "").split(".").at(-1)!)
    .filter((key) => !new RegExp(`[\`.\\]]${key}\\b`).test(documented));
  assert.deepEqual(missing, []);
});

test("docs/datapath.md gives the verdicts that the reasons have", () => {
  const text = read("docs/datapath.md");
  const said = [...text.matchAll(/\b(drop|pass|passes with|reply|forwarded with|dropped with) `([a-z-]+)`/g)];
  assert.ok(said.length > 30, `${said.length}`);
  const verdict = (words: string) => /^(drop|pass|reply|forward)/.exec(words)![1];
  for (const [all, words, reason] of said) assert.equal(verdictOf(reasonCode(reason!)), verdict(words!), all);
});
