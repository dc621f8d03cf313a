import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ConfigError, formatIssue, parseConfig } from "../../src/config/load.ts";
import { readErrorCases } from "./error-cases.ts";

const FILE = "c.yaml";

suite("configurations that are refused", () => {
  const cases = readErrorCases();

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
