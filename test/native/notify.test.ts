// Messages to a service manager, through real datagram sockets.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { native } from "./addon.ts";
import { Receiver } from "./receiver.ts";

const folder = mkdtempSync(join(tmpdir(), "guideway-notify-"));
after(() => rmSync(folder, { recursive: true, force: true }));

for (const [kind, address] of [
  ["path", join(folder, "notify")],
  ["abstract name", `@guideway-${randomUUID()}`],
] as const) {
  test(`a message arrives as one datagram, byte for byte: ${kind}`, async (t) => {
    const receiver = await Receiver.listen(address);
    t.after(() => receiver.close());
    const before = readdirSync("/proc/self/fd").length;
    const message = "READY=1\nSTATUS=serving größtenteils\n";
    native.notify(address, message);
    native.notify(address, "WATCHDOG=1");
    await receiver.find(/^WATCHDOG/);
    assert.deepEqual(receiver.messages, [message, "WATCHDOG=1"]);
    assert.equal(readdirSync("/proc/self/fd").length, before, "no descriptor is left open");
  });
}

test("nobody there is an error that says so", async () => {
  const path = join(folder, "gone");
  assert.throws(() => native.notify(path, "READY=1"), { code: "ENOENT", message: /notifying .*gone/ });
  const receiver = await Receiver.listen(path);
  await receiver.close();
  assert.throws(() => native.notify(path, "READY=1"), { code: "ECONNREFUSED", message: /service manager/ });
  assert.throws(() => native.notify("@guideway-nobody", "READY=1"), { code: "ECONNREFUSED" });
});

test("an address of another kind is refused", () => {
  for (const address of ["", "@", "relative/path", "vsock:2:1234", `/${"x".repeat(108)}`, "/a\0b"]) {
    assert.throws(
      () => native.notify(address, "READY=1"),
      { code: "ERR_NATIVE_ARGUMENT", message: /NOTIFY_SOCKET is .*expected an absolute path or @name/ },
      address,
    );
  }
});
