// Configurations of any size are parsed with the same result, and large ones without standing in the way.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parseConfig } from "../../src/config/load.ts";
import { parseAside } from "../../src/control/parse.ts";

/** A valid configuration with so many backends, on a line each. */
function textOf(backends: number, last = ""): string {
  const lines = Array.from({ length: backends }, (_, i) => {
    return `      - { name: b${i}, address: 10.${i >> 16}.${(i >> 8) & 255}.${i & 255} }\n`;
  });
  return `pools:\n  web:\n    tableSize: 65537\n    backends:\n${lines.join("")}vips: []\nhash: { seed: 0x7f00000000000001 }\n${last}`;
}

/** The longest time in which nothing else was done. */
async function longestPause(work: Promise<unknown>): Promise<number> {
  let longest = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }, 5);
  await work.catch(() => {});
  clearInterval(timer);
  return longest;
}

suite("parsing while the machine runs", () => {
  for (const backends of [1, 3000]) {
    test(`${backends} backends: the same as without a thread`, async () => {
      const text = textOf(backends);
      assert.deepEqual(await parseAside({ text, file: "c.yaml" }), parseConfig(text, "c.yaml"));
    });

    test(`${backends} backends: the same errors`, async () => {
      const text = textOf(backends, "visp: []\nworkers: { count: none }\n");
      const of = async (parse: () => unknown) => {
        try {
          await parse();
        } catch (error) {
          const { code, exitCode, message, issues } = error as Error & Record<string, unknown>;
          return { code, exitCode, message, issues };
        }
        return assert.fail("no error");
      };
      const aside = await of(() => parseAside({ text, file: "c.yaml" }));
      assert.deepEqual(aside, await of(() => parseConfig(text, "c.yaml")));
      assert.match(aside.message, new RegExp(`^c\\.yaml:${backends + 7}:1: visp: unknown key`));
    });
  }

  test("a large one leaves time for everything else", async () => {
    const pause = await longestPause(parseAside({ text: textOf(8000), file: "c.yaml" }));
    const startMs = performance.now();
    parseConfig(textOf(8000), "c.yaml");
    const whole = performance.now() - startMs;
    assert.ok(pause < whole / 2, `${pause} ms of ${whole}`);
  });
});
