import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { configurationPage } from "../../src/config/document.ts";
import { loadConfig } from "../../src/config/load.ts";

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const example = file("docs/example.yaml");

test("docs/configuration.md is what the schema says", () => {
  assert.equal(
    readFileSync(file("docs/configuration.md"), "utf8"),
    configurationPage(readFileSync(example, "utf8")),
    "write it again: node src/config/document.ts > docs/configuration.md",
  );
});

test("the example loads without warnings", () => {
  const { config, warnings } = loadConfig(example);
  assert.deepEqual(warnings, []);
  assert.equal(config.vips.length, 3);
});
