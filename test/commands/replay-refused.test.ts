import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { capture, WRONG_CAPTURES } from "../io/captures.ts";
import { guideway, MAIN } from "./guideway.ts";

const CONFIG = `
pools:
  web: { tableSize: 251, backends: [{ name: one, address: 10.0.0.21 }] }
vips:
  - { name: web, address: 10.99.0.1, port: 80, pool: web }
`;
const frame = new Uint8Array(60);

suite("replay refuses", () => {
  const place = mkdtempSync(join(tmpdir(), "guideway-replay-"));
  const file = join(place, "in.pcap");
  const yaml = join(place, "lb.yaml");
  writeFileSync(yaml, CONFIG);
  after(() => rmSync(place, { recursive: true }));

  /** Runs a replay that fails. @returns its message */
  function fails(status: number, capture: string, ...options: string[]): string {
    const ended = guideway(["replay", capture, "--config", yaml, ...options]);
    assert.equal(ended.status, status, ended.stderr);
    assert.equal(ended.stdout, "");
    assert.ok(!ended.stderr.includes("    at "), ended.stderr);
    assert.deepEqual(
      readdirSync(place).filter((name) => name.includes("out")),
      [],
    );
    return ended.stderr;
  }
  const out = ["--out", join(place, "out.pcap"), "--verdicts", join(place, "out.jsonl")];

  for (const [what, bytes, offset, says] of WRONG_CAPTURES) {
    test(what, () => {
      writeFileSync(file, bytes);
      const message = fails(1, file, ...out, "--json");
      assert.ok(message.startsWith(`${file}: ${offset === undefined ? "" : `byte ${offset}: `}`), message);
      assert.match(message, says);
    });
  }

  test("a capture that is not there, or a directory", () => {
    assert.match(
      fails(1, join(place, "none.pcap"), ...out),
      /there is no such file, expected a classic pcap file/,
    );
    assert.match(fails(1, place, ...out), /it is a directory/);
  });

  test("a configuration with errors", () => {
    writeFileSync(yaml, "vips: 5\n");
    assert.match(fails(2, file, ...out), /lb\.yaml:1:7: vips: /);
    writeFileSync(yaml, CONFIG);
  });

  test("outputs that cannot be", () => {
    writeFileSync(file, capture([{ bytes: frame }]));
    assert.match(fails(1, file, "--out", join(place, "none", "x.pcap")), /its folder does not exist/);
    assert.match(fails(1, file, "--out", join(place, "out.pcap"), "--verdicts", place), /it is a directory/);
    assert.match(fails(2, file, "--out", file), /--out \S+ would overwrite the input/);
    assert.match(fails(2, file, "--out", join(place, ".", "in.pcap")), /would overwrite the input/);
    assert.match(
      fails(2, file, "--out", join(place, "out.pcap"), "--verdicts", join(place, "out.pcap")),
      /are both .* two places/,
    );
    assert.match(fails(2, file, "--out", "-", "--verdicts", "-"), /are both -/);
  });

  test("usage", () => {
    assert.match(fails(2, file), /--out/);
    assert.match(fails(2, file, ...out, "--workers", "0"), /from 1 to 32/);
    assert.match(fails(2, file, ...out, "--workers", "33"), /from 1 to 32/);
    assert.match(fails(2, file, ...out, "--workers", "two"), /from 1 to 32/);
  });

  test("to leave anything behind when it is interrupted", async () => {
    const child = spawn(process.execPath, [MAIN, "replay", "-", "--config", yaml, ...out], {
      stdio: ["pipe", "ignore", "ignore"],
    });
    child.stdin.write(capture([{ bytes: frame }]));
    while (!readdirSync(place).some((name) => name.includes("out")))
      await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill("SIGTERM");
    const [code] = await once(child, "exit");
    assert.equal(code, 143);
    assert.deepEqual(
      readdirSync(place).filter((name) => name.includes("out")),
      [],
    );
    assert.ok(existsSync(yaml));
  });
});
