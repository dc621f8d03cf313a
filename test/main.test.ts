import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";

const file = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const guideway = (...options: string[]) =>
  spawnSync(process.execPath, [file("src/main.ts"), ...options], { encoding: "utf8" });

suite("the command line", () => {
  test("--version is the package's", () => {
    const { version } = JSON.parse(readFileSync(file("package.json"), "utf8")) as { version: string };
    const { status, stdout } = guideway("--version");
    assert.deepEqual([status, stdout], [0, `${version}\n`]);
  });

  test("--help lists the commands on stdout", () => {
    const { status, stdout } = guideway("--help");
    assert.equal(status, 0);
    assert.match(stdout, /^Usage: guideway/);
    assert.match(stdout, /^ {2}check \[options\] +validate/m);
  });

  for (const [what, options, message] of [
    ["no command", [], /^Usage: guideway/],
    ["an unknown command", ["chek"], /unknown command 'chek'\n\(Did you mean check\?\)/],
    ["an unknown option", ["check", "-c", "x", "--jsn"], /unknown option '--jsn'\n\(Did you mean --json\?\)/],
    ["a missing option", ["check"], /required option '-c, --config <file>' not specified/],
    ["an excess argument", ["check", "-c", "x", "y"], /too many arguments/],
    [
      "an unknown log level",
      ["--log-level", "loud", "check", "-c", "x"],
      /Allowed choices are silent, fatal/,
    ],
  ] as const)
    test(`${what} is a usage error`, () => {
      const { status, stdout, stderr } = guideway(...options);
      assert.deepEqual([status, stdout], [2, ""]);
      assert.match(stderr, message);
    });

  test("an error that was foreseen is a message without a stack", () => {
    const { status, stdout, stderr } = guideway("check", "-c", "/no/such/file");
    assert.deepEqual(
      [status, stdout, stderr],
      [2, "", "/no/such/file: there is no such file, expected a readable YAML file\n"],
    );
  });

  test("a reader that closes the pipe is no error", async () => {
    const child = spawn(process.execPath, [file("src/main.ts"), "check", "-c", file("docs/example.yaml")], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stdout.destroy();
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    const [code] = (await once(child, "close")) as [number];
    assert.deepEqual([code, stderr], [0, ""]);
  });
});
