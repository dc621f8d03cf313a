// The cases of errors.md.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export interface ErrorCase {
  sentence: string;
  yaml: string;
  /** `line:column: key.path: message`, or the message alone where the file as a whole is meant. */
  expected: string[];
}

/** Sections: `## sentence`, a yaml block, and a text block with the expected errors. */
export function readErrorCases(): ErrorCase[] {
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
