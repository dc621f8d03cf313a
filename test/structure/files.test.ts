// Files are small, have names that say what is in them, and leave nothing for later.
import assert from "node:assert/strict";
import { basename } from "node:path";
import { test } from "node:test";
import { filesIn, read } from "./sources.ts";

const LONGEST = 400;
/** The one declaration of the arena, for four languages: it cannot be split. */
const LONGER = ["assembly/layout.ts"];

const code = filesIn("src", "assembly", "native", "bench", "test", "scripts").filter((path) =>
  /\.(ts|rs|c|h|sh)$/.test(path),
);

test(`no file has more than ${LONGEST} lines`, () => {
  const long = code.filter((path) => !LONGER.includes(path) && read(path).split("\n").length - 1 > LONGEST);
  assert.deepEqual(long, []);
});

test("names are plain nouns in lower case", () => {
  const odd = code.filter((path) => {
    const stem = basename(path).replace(/(\.(test|bench|d|bpf))?\.\w+$/, "");
    const separator = path.endsWith(".rs") ? "_" : "-";
    const form = new RegExp(`^[a-z0-9]+(${separator}[a-z0-9]+)*$`);
    return !form.test(stem) || /^(utils?|helpers?|common|misc|shared)$/.test(stem);
  });
  assert.deepEqual(odd, []);
});

test("nothing is marked as to be done", () => {
  const mark = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "X" + "XX"].join("|")})\\b`);
  const marked = [...code, ...filesIn("docs")].filter((path) => mark.test(read(path)));
  assert.deepEqual(marked, []);
});
