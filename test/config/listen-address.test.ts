import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { hostPort, isLoopback } from "../../src/config/listen-address.ts";

suite("addresses to listen on", () => {
  for (const [text, host, port] of [
    ["127.0.0.1:9180", "127.0.0.1", 9180],
    ["localhost:80", "127.0.0.1", 80],
    ["0.0.0.0:65535", "0.0.0.0", 65535],
    ["[::1]:1", "::1", 1],
    ["[FD00::0:1]:9180", "fd00::1", 9180],
  ] as const) {
    test(text, () => assert.deepEqual(hostPort().parse(text), { host, port }));
  }

  for (const text of [
    "",
    ":9180",
    "9180",
    "127.0.0.1:",
    "127.0.0.1:0",
    "127.0.0.1:65536",
    "127.0.0.1:9180 ",
    "127.1:9180",
    "[127.0.0.1]:9180",
    "[::1%lo]:9180",
    "[]:9180",
    "::1",
    "unix:/run/a.sock",
    "http://127.0.0.1:9180",
    9180,
  ]) {
    test(`not ${JSON.stringify(text)}`, () => assert.equal(hostPort().safeParse(text).success, false));
  }

  test("loopback is 127.0.0.0/8 and ::1, and nothing else", () => {
    const hosts = ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"];
    const others = ["0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "::2", "::ffff:10.0.0.1", "fe80::1"];
    assert.deepEqual([...hosts, ...others].filter(isLoopback), hosts);
  });
});
