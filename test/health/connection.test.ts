// The end of a check's connection, whatever state it is in.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { nextTick } from "node:process";
import { suite, type TestContext, test } from "node:test";
import { reset } from "../../src/health/checks/connection.ts";
import { Listener, LOCAL } from "./checks.ts";

/** Of this process. */
function openSockets(): number {
  const links = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return "that of the reading itself, which is closed by now";
    }
  });
  return links.filter((link) => link.startsWith("socket:")).length;
}

/** What the other end sees of a connection that is reset, and how many descriptors are left open here. */
async function ended(t: TestContext, prepare: (socket: Socket) => unknown) {
  const listener = await Listener.start(t);
  const before = openSockets();
  const accepted = once(listener.server, "connection");
  const socket = connect(listener.port, LOCAL);
  const [[peer]] = await Promise.all([accepted, once(socket, "connect")]);
  const seen = Promise.race([
    once(peer, "error").then(([{ code }]) => code),
    once(peer, "end").then(() => "end"),
  ]);
  const closed = once(socket, "close");
  await prepare(socket);
  reset(socket);
  await closed;
  const what: string = await seen;
  await listener.idle();
  return { what, left: openSockets() - before };
}

suite("the end of a connection", () => {
  test("is a reset", async (t) => {
    assert.deepEqual(await ended(t, () => {}), { what: "ECONNRESET", left: 0 });
  });

  test("closes one whose own end is on its way", async (t) => {
    const ending = (socket: Socket) => {
      socket.end();
      return new Promise<void>((resolve) => nextTick(resolve));
    };
    assert.deepEqual(await ended(t, ending), { what: "end", left: 0 });
  });

  test("does not wait for a connection", async () => {
    const before = openSockets();
    // An address of documentation (RFC 5737): nobody answers.
    const socket = connect(9, "192.0.2.1").on("error", () => {});
    const closed = once(socket, "close");
    reset(socket);
    await closed;
    assert.equal(openSockets(), before);
  });
});
