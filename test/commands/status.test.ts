// `guideway status` against a server, by all of its ways in.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { ANY_PORT, folderFor, serve } from "../admin/serve.ts";
import { type Ended, MAIN } from "./guideway.ts";

/** The server is in this process, which must go on meanwhile. */
function status(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, "status", ...args], (error, stdout, stderr) => {
      resolve({ status: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

suite("status", () => {
  test("by the socket: text and JSON", async (t) => {
    const { config } = await serve(t);
    const text = await status("--socket", config.socket);
    assert.equal(text.status, 0, text.stderr);
    assert.match(text.stdout, /^lb-1: pid \d+/);
    assert.match(text.stdout, /^web +web-2 +active +unresolved +7\d\.\d/m);
    const json = JSON.parse((await status("-s", config.socket, "--json")).stdout);
    assert.deepEqual(
      json.vips.map(({ name }: { name: string }) => name),
      ["web", "dns"],
    );
  });

  test("over TCP, with and without the token", async (t) => {
    const file = join(folderFor(t), "token");
    writeFileSync(file, "correct-horse-battery-staple\n", { mode: 0o600 });
    const { server } = await serve(t, { listen: ANY_PORT, token: { file } });
    const url = server.url!;
    const shown = await status("--url", url, "--token-file", file, "--json");
    assert.equal(shown.status, 0, shown.stderr);
    assert.equal(JSON.parse(shown.stdout).machine, "lb-1");
    const without = await status("--url", url);
    assert.deepEqual([without.status, without.stdout], [1, ""]);
    assert.match(without.stderr, /Authorization: Bearer/);
  });

  for (const [what, args, code, message] of [
    [
      "nobody there",
      ["--socket", "/nowhere.sock"],
      1,
      /no guideway answers on \/nowhere\.sock .*guideway run/,
    ],
    [
      "nobody at the URL",
      ["--url", "http://127.0.0.1:1"],
      1,
      /no guideway answers on http:\/\/127\.0\.0\.1:1 /,
    ],
    ["no URL", ["--url", "lb-1"], 2, /--url "lb-1" is not valid, expected http/],
    ["two places", ["--url", "http://h:1", "--socket", "/s"], 2, /cannot be used with/],
    ["a token for the socket", ["--token-file", "/t"], 2, /for --url/],
    [
      "no such token file",
      ["--url", "http://127.0.0.1:1", "--token-file", "/none"],
      1,
      /--token-file: \/none .*ENOENT/,
    ],
  ] as const) {
    test(`refused: ${what}`, async () => {
      const ended = await status(...args);
      assert.equal(ended.status, code, ended.stderr);
      assert.match(ended.stderr, message);
      assert.doesNotMatch(ended.stderr, /^ +at /m, "a stack");
    });
  }
});
