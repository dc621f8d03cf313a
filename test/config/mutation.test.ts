// Whatever the text: a configuration, or a ConfigError that points into the text.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import fc from "fast-check";
import { stringify } from "yaml";
import { ConfigError, parseConfig } from "../../src/config/load.ts";
import { expandServices, serviceName } from "../../src/config/services.ts";

const EXAMPLE = readFileSync(new URL("../../docs/example.yaml", import.meta.url), "utf8");

/** Parses, and checks what must hold of either outcome. */
function check(text: string): void {
  try {
    const { config } = parseConfig(text, "c.yaml");
    const services = expandServices(config);
    const numbers = [...new Set(services.map((service) => service.number))];
    assert.deepEqual(
      numbers,
      numbers.map((_, index) => index + 1),
    );
    const names = services.map(serviceName);
    assert.equal(new Set(names).size, names.length, "there is a service twice");
    for (const vip of config.vips) assert.ok(Object.hasOwn(config.pools, vip.pool));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    assert.ok(error.issues.length > 0);
    const lines = text.split("\n");
    for (const { line, column, message } of error.issues) {
      assert.ok(line >= 0 && line <= lines.length, `line ${line} of ${lines.length}: ${message}`);
      if (line > 0)
        assert.ok(column >= 1 && column <= lines[line - 1]!.length + 1, `${line}:${column}: ${message}`);
      assert.ok(message !== "" && !message.includes("\n"), message);
    }
  }
}

/** Pieces that have a meaning in YAML or here. */
const piece = fc.constantFrom(
  ..."[]{}:,-?#&*!|>'\"%@`~ \t\n\r\0\u2028😀".split(""),
  ...[
    "null",
    "~",
    "true",
    "[]",
    "{}",
    "0",
    "-1",
    "1.5",
    "1e999",
    ".nan",
    ".inf",
    "0x1ffffffffffffffff",
    "65536",
  ],
  ...[
    "10.0.0.1",
    "::",
    "fd00::1",
    "255.255.255.255",
    "tcp",
    "any",
    "gre",
    "web",
    "1ms",
    "999h",
    "\n  - ",
    "\n",
  ],
  ...[
    "__proto__",
    "constructor",
    "<<: *a",
    "&a ",
    "*a",
    "!!str ",
    "!!binary ",
    "---\n",
    "%YAML 1.1\n---\n",
    "\ud800",
  ],
);
const edit = fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), cut: fc.nat(12), piece });

const key = fc.oneof(
  fc.constantFrom("name", "address", "port", "pool", "backends", "weight", "mac", "tunnel", "ttl", "forward"),
  fc.string(),
);
/** One node of a configuration: mostly scalars that are nearly right. */
const scalar = fc.oneof(piece, fc.integer(), fc.double(), fc.boolean(), fc.constant(null), fc.string());
const value = fc.letrec((tie) => ({
  node: fc.oneof(
    { maxDepth: 4 },
    scalar,
    fc.array(tie("node"), { maxLength: 4 }),
    fc.dictionary(key, tie("node")),
  ),
})).node;
const top = fc.constantFrom(
  "machine",
  "interfaces",
  "frames",
  "workers",
  "conntrack",
  "hash",
  "pools",
  "vips",
  "change",
  "admin",
);

suite("any text gives a configuration or a ConfigError", () => {
  test("the example with random edits", () => {
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 6 }), (edits) => {
        let text = EXAMPLE;
        for (const { at, cut, piece } of edits) {
          const start = Math.floor(at * text.length);
          text = text.slice(0, start) + piece + text.slice(start + cut);
        }
        check(text);
      }),
      { numRuns: 1500 },
    );
  });

  test("the example with one value replaced", () => {
    const values = [...EXAMPLE.matchAll(/(?<=[:,[{] )[^\s,[\]{}#]+/g)];
    fc.assert(
      fc.property(fc.nat(values.length - 1), piece, (index, piece) => {
        const match = values[index]!;
        check(EXAMPLE.slice(0, match.index) + piece + EXAMPLE.slice(match.index + match[0].length));
      }),
      { numRuns: 1500 },
    );
  });

  test("random documents with the right keys at the top", () => {
    fc.assert(
      fc.property(fc.dictionary(top, value), (document) => {
        check(stringify({ pools: {}, vips: [], ...document }));
      }),
      { numRuns: 1000 },
    );
  });

  test("random text", () => {
    fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 300 }), check), { numRuns: 1000 });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => check(pieces.join(""))),
      { numRuns: 1500 },
    );
  });
});
