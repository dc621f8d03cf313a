import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { ConfigError, formatIssue, parseConfig } from "../../src/config/load.ts";

const FILE = "c.yaml";

/** Cases of errors.md: `## sentence`, a yaml block, and a text block with the expected errors. */
function readCases(): { sentence: string; yaml: string; expected: string[] }[] {
  const text = readFileSync(new URL("errors.md", import.meta.url), "utf8");
  return text
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const match = /^(.*)\n\n```yaml\n([\s\S]*?\n)```\n\n```text\n([\s\S]*?)\n```\n*$/.exec(section);
      assert.ok(match, `a case of errors.md is not well-formed: ${section.slice(0, 60)}`);
      return { sentence: match[1]!, yaml: match[2]!, expected: match[3]!.split("\n") };
    });
}

suite("configurations that are refused", () => {
  const cases = readCases();

  test("there are at least 50 of them, each with its own sentence", () => {
    assert.ok(cases.length >= 50);
    assert.equal(new Set(cases.map((each) => each.sentence)).size, cases.length);
  });

  for (const { sentence, yaml, expected } of cases) {
    test(sentence, () => {
      assert.throws(
        () => parseConfig(yaml, FILE),
        (error) => {
          assert.ok(error instanceof ConfigError);
          assert.equal(error.code, "CONFIG");
          assert.equal(error.exitCode, 2);
          assert.deepEqual(error.issues.map(formatIssue), error.message.split("\n"));
          assert.deepEqual(
            error.issues.map((issue) => formatIssue(issue).replace(/^c\.yaml: ?/, "")),
            expected,
          );
          return true;
        },
      );
    });
  }
});
