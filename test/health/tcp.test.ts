import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { suite, test } from "node:test";
import { closedPort, deafPort, FILLING, failed, Listener, LOCAL, passed, probeLocal } from "./checks.ts";

suite("tcp", () => {
  test("an open port passes, and the connection is reset", async (t) => {
    const ends: Promise<unknown>[] = [];
    const listener = await Listener.start(t, (socket: Socket) => ends.push(once(socket, "error")));
    passed(await probeLocal("type: tcp", listener.port), "connected");
    while (ends.length === 0) await new Promise(setImmediate);
    const [error] = (await ends[0]) as [NodeJS.ErrnoException];
    assert.equal(error.code, "ECONNRESET");
    // State 06 of /proc/net/tcp is TIME_WAIT.
    const port = listener.port.toString(16).toUpperCase().padStart(4, "0");
    const waiting = readFileSync("/proc/net/tcp", "utf8")
      .split("\n")
      .filter((line) => line.includes(`:${port} 06 `));
    assert.deepEqual(waiting, []);
  });

  test("a closed port fails", async (t) => {
    failed(await probeLocal("type: tcp", await closedPort(t)), "connect ECONNREFUSED");
  });

  test("a connection that is not accepted in time fails, and is given up", async (t) => {
    const port = await deafPort(t);
    const started = performance.now();
    failed(await probeLocal("type: tcp, timeout: 100ms", port), "timed out after 100 ms (connecting)");
    assert.ok(performance.now() - started < 2000);
    // State 02 is SYN_SENT.
    const remote = port.toString(16).toUpperCase().padStart(4, "0");
    const table = () =>
      readFileSync("/proc/net/tcp", "utf8")
        .split("\n")
        .filter((line) => line.includes(`:${remote} 02 `)).length;
    const filling = table();
    await new Promise(setImmediate);
    assert.ok(table() <= Math.min(filling, FILLING), "the attempt has left a connection behind");
  });

  test("it comes from the address and port that it is told, again and again", async (t) => {
    const from: string[] = [];
    const listener = await Listener.start(t, (socket) =>
      from.push(`${socket.remoteAddress}:${socket.remotePort}`),
    );
    const free = await closedPort(t);
    const end = { localAddress: "127.0.0.2", localPort: free };
    for (let count = 0; count < 3; count++)
      passed(await probeLocal("type: tcp", listener.port, end), "connected");
    while (listener.accepted < 3) await new Promise(setImmediate);
    assert.deepEqual(from, Array(3).fill(`127.0.0.2:${free}`));
  });

  test("an address that is not this machine's says nothing about the backend", async (t) => {
    const listener = await Listener.start(t);
    const outcome = await probeLocal("type: tcp", listener.port, { localAddress: "192.0.2.1" });
    assert.deepEqual([outcome.verdict, outcome.reason], ["inconclusive", "bind EADDRNOTAVAIL"]);
    const other = await probeLocal("type: tcp", listener.port, { localAddress: "::1" });
    assert.equal(other.verdict, "inconclusive", other.reason);
  });

  test("IPv6", async (t) => {
    const listener = await Listener.start(t, () => {}, 0, "::1");
    passed(await probeLocal("type: tcp", listener.port, { address: "::1" }), "connected");
    assert.equal(LOCAL, "127.0.0.1");
  });
});
