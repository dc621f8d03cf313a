import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, suite, test } from "node:test";
import { openOutput } from "../../src/io/output-file.ts";

const MODULE = new URL("../../src/io/output-file.ts", import.meta.url).href;
const directory = mkdtempSync(join(tmpdir(), "guideway-output-"));
const place = join(directory, "out");
const bytes = Buffer.from("result\n");

suite("output file", () => {
  after(() => rmSync(directory, { recursive: true }));
  afterEach(() => {
    for (const file of readdirSync(directory)) rmSync(join(directory, file));
  });

  test("is there when it is committed, not before", async () => {
    const file = openOutput(place);
    await file.write(bytes);
    assert.ok(!readdirSync(directory).includes("out"));
    file.commit();
    assert.deepEqual(readdirSync(directory), ["out"]);
    assert.deepEqual(readFileSync(place), bytes);
  });

  test("replaces what was there, at once", async () => {
    writeFileSync(place, "old");
    const file = openOutput(place);
    await file.write(bytes);
    assert.equal(readFileSync(place, "utf8"), "old");
    file.commit();
    assert.deepEqual(readFileSync(place), bytes);
  });

  test("leaves nothing, and what was there, when it is given up", async () => {
    writeFileSync(place, "old");
    const file = openOutput(place);
    await file.write(bytes);
    file.discard();
    assert.deepEqual(readdirSync(directory), ["out"]);
    assert.equal(readFileSync(place, "utf8"), "old");
  });

  test("leaves nothing when the process exits", () => {
    const script = `const { openOutput } = await import(${JSON.stringify(MODULE)});
      await openOutput(${JSON.stringify(place)}).write(Buffer.from("x"));
      process.exit(3);`;
    assert.equal(spawnSync(process.execPath, ["--input-type=module", "-e", script]).status, 3);
    assert.deepEqual(readdirSync(directory), []);
  });

  test("writes through a link", async () => {
    const target = join(directory, "target");
    writeFileSync(target, "old");
    symlinkSync(target, place);
    const file = openOutput(place);
    await file.write(bytes);
    file.commit();
    assert.ok(lstatSync(place).isSymbolicLink());
    assert.deepEqual(readFileSync(target), bytes);
  });

  test("a device stays a device", async () => {
    const file = openOutput("/dev/null");
    await file.write(bytes);
    file.commit();
    assert.ok(lstatSync("/dev/null").isCharacterDevice());
  });

  test("a place that cannot be written", () => {
    const fails = (name: string, says: RegExp) => assert.throws(() => openOutput(name), says);
    fails(
      join(directory, "none", "out"),
      /none\/out: its folder does not exist, expected a file that can be written/,
    );
    fails(directory, /it is a directory/);
    writeFileSync(place, "");
    fails(join(place, "out"), /a part of its path is no directory/);
  });

  test("a full disk", async () => {
    await assert.rejects(openOutput("/dev/full").write(bytes), {
      code: "OUTPUT",
      message: /the disk is full/,
    });
  });
});
