import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { suite, test } from "node:test";
import { GuidewayError } from "../src/errors.ts";
import { createLogger, formatLine } from "../src/log.ts";

/** What a program that logs writes to stderr, which is no terminal. */
function logged(program: string, environment: Record<string, string> = {}): string {
  const module = JSON.stringify(new URL("../src/log.ts", import.meta.url).href);
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ["--input-type=module", "--eval", `import { createLogger } from ${module};\n${program}`],
    { encoding: "utf8", env: { ...process.env, ...environment } },
  );
  assert.equal(stdout, "");
  return stderr;
}

suite("the log", () => {
  test("is JSON lines where stderr is no terminal", () => {
    const line = JSON.parse(logged('createLogger().info({ worker: 1 }, "started")')) as Record<
      string,
      unknown
    >;
    assert.deepEqual({ ...line, time: "" }, { level: 30, time: "", worker: 1, msg: "started" });
    assert.match(String(line.time), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  });

  test("is short lines on request, and complete when the process exits at once", () => {
    const text = logged('createLogger({ format: "text" }).warn("late"); process.exit(1)');
    assert.match(text, /^\d\d:\d\d:\d\d\.\d{3} warn {2}late\n$/);
  });

  for (const [what, stderr, code] of [
    ["a full disk", "2>/dev/full", "ENOSPC"],
    ["a reader that is gone", "2>&1 >/dev/null | true", "EPIPE"],
  ])
    test(`${what} ends nothing`, () => {
      const module = JSON.stringify(new URL("../src/log.ts", import.meta.url).href);
      const program = `
        import { writeFileSync } from "node:fs";
        import { createLogger } from ${module};
        let failed;
        const { emit } = process.stderr;
        process.stderr.emit = function (event, ...values) {
          if (event === "error") failed = values[0].code;
          return emit.call(this, event, ...values);
        };
        const log = createLogger();
        const timer = setInterval(() => {
          createLogger().info("to nobody");
          if (!failed) return;
          clearInterval(timer);
          writeFileSync(process.argv[1], failed);
        }, 10);`;
      const file = join(mkdtempSync(join(tmpdir(), "guideway-log-")), "failed");
      const script = `"$0" --input-type=module --eval "$1" "$2" ${stderr}`;
      spawnSync("bash", ["-c", script, process.execPath, program, file], { timeout: 10_000 });
      const failed = readFileSync(file, "utf8");
      rmSync(dirname(file), { recursive: true });
      assert.equal(failed, code);
    });

  test("takes its level from GUIDEWAY_LOG, or from the option before that", () => {
    const program = (options: string) =>
      `const log = createLogger(${options}); log.debug("d"); log.error("e")`;
    const count = (text: string) => text.split("\n").length - 1;
    assert.equal(count(logged(program(""))), 1);
    assert.equal(count(logged(program(""), { GUIDEWAY_LOG: "debug" })), 2);
    assert.equal(count(logged(program('{ level: "silent" }'), { GUIDEWAY_LOG: "debug" })), 0);
  });

  test("an unknown level is a usage error", () => {
    assert.throws(
      () => createLogger({ level: "loud" }),
      (error) => error instanceof GuidewayError && error.code === "USAGE" && error.exitCode === 2,
    );
  });

  test("a line for people has the time, the level, the message and the fields", () => {
    const time = "2026-01-02T03:04:05.678Z";
    const line = (fields: object) => formatLine(JSON.stringify({ level: 50, time, msg: "lost", ...fields }));
    assert.equal(line({}), "03:04:05.678 error lost\n");
    assert.equal(
      line({ device: "eth0", queue: 3, why: "a b", list: [1] }),
      '03:04:05.678 error lost device=eth0 queue=3 why="a b" list=[1]\n',
    );
    assert.equal(
      line({ err: { stack: "Error: x\n    at y" } }),
      "03:04:05.678 error lost\n    Error: x\n        at y\n",
    );
  });
});
