import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { failed, passed, probeLocal } from "./checks.ts";

const shell = (script: string) => `type: exec, command: [/bin/sh, -c, ${JSON.stringify(script)}]`;

suite("exec", () => {
  test("exit code 0 passes, any other fails with the first line of what it says", async () => {
    passed(await probeLocal("type: exec, command: [/bin/true]", 1), "exit code 0");
    failed(await probeLocal("type: exec, command: [/bin/false]", 1), "exit code 1");
    failed(await probeLocal(shell("echo not today >&2; echo more >&2; exit 3"), 1), "exit code 3: not today");
    failed(await probeLocal(shell("kill -TERM $$"), 1), "ended by SIGTERM");
  });

  test("arguments are not a shell's", async () => {
    passed(
      await probeLocal('type: exec, command: [/usr/bin/test, "$HOME; exit 1", "=", "$HOME; exit 1"]', 1),
      "exit code 0",
    );
  });

  test("its environment is the target and the PATH, and nothing of ours", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "guideway-exec-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "env");
    process.env.GUIDEWAY_TEST_SECRET = "secret";
    t.after(() => delete process.env.GUIDEWAY_TEST_SECRET);
    passed(
      await probeLocal(
        `type: exec, timeout: 1500ms, command: [/bin/sh, -c, 'env > "$0"; pwd >> "$0"', ${file}]`,
        8080,
      ),
      "exit code 0",
    );
    const lines = readFileSync(file, "utf8").trim().split("\n");
    assert.deepEqual(lines.filter((line) => line.startsWith("GUIDEWAY_")).sort(), [
      "GUIDEWAY_ADDRESS=127.0.0.1",
      "GUIDEWAY_PORT=8080",
      "GUIDEWAY_TIMEOUT_MS=1500",
    ]);
    assert.ok(lines.some((line) => line.startsWith("PATH=")));
    assert.equal(lines.at(-1), "/");
  });

  test("when the time is up, it and all that it has started are killed", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "guideway-exec-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "pids");
    writeFileSync(file, "");
    const script = `sleep 60 & echo $! >> ${file}; echo $$ >> ${file}; wait`;
    failed(
      await probeLocal(`${shell(script)}, timeout: 500ms`, 1),
      "timed out after 500 ms (the program is running)",
    );
    const pids = readFileSync(file, "utf8").trim().split("\n").map(Number);
    assert.equal(pids.length, 2);
    const alive = () => pids.filter((pid) => !/^State:\s+[ZX]/m.test(status(pid)) && status(pid) !== "");
    while (alive().length > 0) await new Promise(setImmediate);
  });

  test("a program that cannot be run says nothing about the backend", async () => {
    const outcome = await probeLocal("type: exec, command: [/nonexistent/program]", 1);
    assert.deepEqual(
      [outcome.verdict, outcome.reason],
      ["inconclusive", "/nonexistent/program: spawn /nonexistent/program ENOENT"],
    );
  });

  test("endless output is not kept", async () => {
    failed(
      await probeLocal(shell("head -c 10000000 /dev/zero | tr '\\0' x >&2; exit 1"), 1),
      `exit code 1: ${"x".repeat(200)}`,
    );
  });
});

/** /proc/PID/status, empty when there is none. */
function status(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "";
  }
}
