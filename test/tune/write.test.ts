// A recommendation in a configuration file: everything else stays, byte for byte.

import assert from "node:assert/strict";
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { ConfigError } from "../../src/config/error.ts";
import { parseConfig } from "../../src/config/load.ts";
import { GuidewayError } from "../../src/errors.ts";
import { replaceFile, withWorkers } from "../../src/tune/write.ts";

const BEFORE = "# ours\nmachine: {name:  lb-1}   # odd spaces\n";
const AFTER =
  "pools:\n  web:\n    backends: [{ address: 10.0.0.21 }]   # one\nvips:\n- {name: web, address: 10.99.0.1, port: 80, pool: web}\n";
const CHANGE = { count: 2, batch: 32, cpus: [4, 6] };

const rest = ({ pools, vips }: { pools: object; vips: object }) => ({ pools, vips });

/** @returns what stands between BEFORE and AFTER */
function section(text: string, change: Parameters<typeof withWorkers>[2] = CHANGE): string {
  const changed = withWorkers(`${BEFORE}${text}${AFTER}`, "test.yaml", change);
  assert.ok(changed.startsWith(BEFORE) && changed.endsWith(AFTER), changed);
  return changed.slice(BEFORE.length, changed.length - AFTER.length);
}

suite("withWorkers", () => {
  test("a section with comments", () => {
    const text =
      "workers:\n  # measured in spring\n  count: auto\n  max: 8 # room\n  cpus: [0, 1, 2]\n  batch: 64\n# pools\n";
    assert.equal(
      section(text),
      "workers:\n  # measured in spring\n  count: 2\n  max: 8 # room\n  cpus: [4, 6]\n  batch: 32\n# pools\n",
    );
  });

  test("a section on one line", () => {
    assert.equal(
      section("workers: { count: 1, max: 4 }\n"),
      "workers: { count: 2, max: 4, batch: 32, cpus: [ 4, 6 ] }\n",
    );
  });

  test("CPUs one by one", () => {
    assert.equal(
      section("workers:\n  cpus:\n    - 0\n    - 1\n"),
      "workers:\n  cpus: [4, 6]\n  count: 2\n  batch: 32\n",
    );
  });

  test("not pinned: the CPUs go", () => {
    const change = { count: 3, batch: 8, cpus: undefined };
    assert.equal(
      section("workers:\n  cpus: [0, 1, 2]\n  batch: 64\n", change),
      "workers:\n  batch: 8\n  count: 3\n",
    );
  });

  test("no section, or an empty one", () => {
    const text = `${BEFORE}${AFTER}`;
    assert.equal(
      withWorkers(text, "test.yaml", CHANGE),
      `${text}workers: { count: 2, batch: 32, cpus: [ 4, 6 ] }\n`,
    );
    assert.match(withWorkers(text.trimEnd(), "test.yaml", CHANGE), /pool: web\}\nworkers: \{ count: 2/);
  });

  test("lines end as they did, and a byte order mark stays", () => {
    const text = `\ufeff${BEFORE}workers:\n  count: 1 # ours\n${AFTER}`.replaceAll("\n", "\r\n");
    const expected = text.replace(
      "count: 1 # ours\r\n",
      "count: 2 # ours\r\n  batch: 32\r\n  cpus: [4, 6]\r\n",
    );
    assert.equal(withWorkers(text, "test.yaml", CHANGE), expected);
  });

  test("JSON", () => {
    const document = {
      workers: { count: 1, cpus: [0] },
      pools: { web: { backends: [{ address: "10.0.0.21" }] } },
      vips: [{ name: "web", address: "10.99.0.1", port: 80, pool: "web" }],
    };
    for (const indent of [undefined, 2, "\t"]) {
      const change = { ...CHANGE, cpus: undefined };
      const changed = withWorkers(JSON.stringify(document, null, indent), "test.json", change);
      assert.equal(
        changed,
        JSON.stringify({ workers: { count: 2, batch: 32 }, ...rest(document) }, null, indent),
      );
    }
  });

  test("YAML that looks like JSON", () => {
    const text =
      "{ workers: { count: 1 }, pools: { web: { backends: [{ address: 10.0.0.21 }] } }, # one\n vips: [] }\n";
    const changed = withWorkers(text, "test.yaml", CHANGE);
    assert.deepEqual(parseConfig(changed, "test.yaml").config.workers.cpus, [4, 6]);
    assert.match(changed, /# one/);
  });

  test("what cannot be changed is said, not guessed", () => {
    const code = (expected: string) => (error: unknown) =>
      error instanceof GuidewayError && error.code === expected;
    assert.throws(() => section("other: &w { count: 1 }\nworkers: *w\n"), code("TUNE"));
    // The configuration allows one worker at most.
    assert.throws(() => section("workers: { max: 1 }\n"), ConfigError);
  });
});

test("a file is replaced as a whole, with its mode, where a link leads", () => {
  const folder = mkdtempSync(join(tmpdir(), "guideway-tune-"));
  try {
    const [file, link] = [join(folder, "lb.yaml"), join(folder, "link.yaml")];
    writeFileSync(file, "before");
    chmodSync(file, 0o640);
    symlinkSync(file, link);
    replaceFile(link, "after");
    assert.equal(readFileSync(file, "utf8"), "after");
    assert.equal(statSync(file).mode & 0o777, 0o640);
    assert.deepEqual(readdirSync(folder).sort(), ["lb.yaml", "link.yaml"]);
    assert.throws(() => replaceFile(join(folder, "missing.yaml"), ""), /missing\.yaml cannot be written/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
