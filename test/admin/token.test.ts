import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { readCredentials } from "../../src/admin/credentials.ts";
import { readSecretFile } from "../../src/admin/secret-file.ts";
import { tokenOf } from "../../src/admin/token.ts";
import { GuidewayError } from "../../src/errors.ts";
import { ANY_PORT, folderFor } from "./serve.ts";

const GOOD = "abcdefghijklmnop";

suite("token files", () => {
  const token = (content: string | Buffer) =>
    tokenOf("admin.token.file", { path: "/t", content: Buffer.from(content), shared: false });

  test("white space around a token is none of it", () => {
    assert.equal(token(`${GOOD}\n`), GOOD);
    assert.equal(token(`  ${GOOD}==\r\n\n`), `${GOOD}==`);
  });

  for (const [what, content] of [
    ["empty", ""],
    ["15 characters", GOOD.slice(1)],
    ["1,025 characters", "a".repeat(1025)],
    ["a space inside", `${GOOD} ${GOOD}`],
    ["two lines", `${GOOD}\n${GOOD}`],
    ["a quote", `"${GOOD}"`],
    ["no ASCII", `${GOOD}é`],
    ["any bytes", Buffer.from(Array.from({ length: 64 }, (_, i) => i * 4))],
  ] as const) {
    test(`refused: ${what}`, () => {
      assert.throws(
        () => token(content),
        (error) => {
          assert.ok(error instanceof GuidewayError && error.code === "ADMIN_TOKEN");
          assert.match(error.message, /^admin\.token\.file: the token in \/t .*openssl rand/);
          assert.ok(!error.message.includes(GOOD), "the token is in the message");
          return true;
        },
      );
    });
  }

  test("a file that others may read is read, with a warning", (t) => {
    const file = join(folderFor(t), "token");
    const warnings = () => readCredentials({ socket: "/s", listen: ANY_PORT, token: { file } }).warnings;
    writeFileSync(file, GOOD, { mode: 0o600 });
    assert.deepEqual(warnings(), []);
    for (const mode of [0o640, 0o604, 0o660]) {
      chmodSync(file, mode);
      assert.equal(warnings().length, 1, mode.toString(8));
      assert.match(warnings()[0]!, /others may read .*chmod 600/);
    }
  });

  test("without admin.listen no file is read", () => {
    assert.deepEqual(readCredentials({ socket: "/s", token: { file: "/nowhere" } }).warnings, []);
  });

  test("what is no readable file is refused", (t) => {
    const folder = folderFor(t);
    mkdirSync(join(folder, "directory"));
    writeFileSync(join(folder, "large"), Buffer.alloc((1 << 20) + 1));
    for (const [path, why] of [
      [join(folder, "nothing"), /ENOENT/],
      [join(folder, "directory"), /no regular file/],
      [join(folder, "large"), /more than 1048576 bytes/],
      ["/dev/zero", /no regular file/],
    ] as const) {
      assert.throws(() => readSecretFile("admin.token.file", path), { code: "ADMIN_FILE", message: why });
    }
  });
});
