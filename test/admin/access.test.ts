// Who may ask what: every way in, with every kind of request.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type Asking, admit, type Entrance, namesLoopback } from "../../src/admin/access.ts";
import { Token } from "../../src/admin/token.ts";

const SECRET = "0123456789abcdef";
const token = new Token(SECRET);
const SOCKET: Entrance = { kind: "socket" };
const LOCAL: Entrance = { kind: "tcp", loopback: true, token: undefined };
const LOCAL_TOKEN: Entrance = { kind: "tcp", loopback: true, token };
const REMOTE: Entrance = { kind: "tcp", loopback: false, token };

const read: Asking = {
  method: "GET",
  host: "localhost:9180",
  authorization: undefined,
  contentType: undefined,
  open: false,
};
const change: Asking = { ...read, method: "PUT", contentType: "application/json" };
const withToken = { authorization: `Bearer ${SECRET}` };
const status = (entrance: Entrance, asking: Asking) => {
  const answer = admit(entrance, asking);
  return answer.allowed ? 200 : answer.status;
};

suite("access", () => {
  for (const [what, entrance, asking, expected] of [
    ["reading by the socket", SOCKET, read, 200],
    ["changing by the socket", SOCKET, change, 200],
    ["the socket asks for no host", SOCKET, { ...read, host: "evil.example" }, 200],
    ["reading locally without a token", LOCAL, read, 200],
    ["changing locally without a token", LOCAL, change, 403],
    ["changing locally with a token that nobody configured", LOCAL, { ...change, ...withToken }, 403],
    ["reading locally where a token is configured", LOCAL_TOKEN, read, 401],
    ["reading locally with it", LOCAL_TOKEN, { ...read, ...withToken }, 200],
    ["changing locally with it", LOCAL_TOKEN, { ...change, ...withToken }, 200],
    ["reading from elsewhere", REMOTE, { ...read, host: "lb-1:9180" }, 401],
    ["reading from elsewhere with the token", REMOTE, { ...read, ...withToken, host: "lb-1:9180" }, 200],
    ["changing from elsewhere", REMOTE, { ...change, host: "lb-1:9180" }, 401],
    ["changing from elsewhere with the token", REMOTE, { ...change, ...withToken, host: "lb-1:9180" }, 200],
    ["health from elsewhere", REMOTE, { ...read, open: true, host: "lb-1:9180" }, 200],
    ["a page of another site, by DNS rebinding", LOCAL, { ...read, host: "evil.example" }, 403],
    ["the same for health", LOCAL, { ...read, open: true, host: "evil.example" }, 403],
    ["a local request without a host", LOCAL, { ...read, host: undefined }, 403],
    ["a form", SOCKET, { ...change, contentType: "text/plain" }, 415],
    ["a form that says more", SOCKET, { ...change, contentType: "multipart/form-data; boundary=x" }, 415],
    ["a change without a type", REMOTE, { ...change, ...withToken, contentType: undefined }, 415],
    ["JSON with a character set", SOCKET, { ...change, contentType: "application/JSON; charset=utf-8" }, 200],
    ["nearly JSON", SOCKET, { ...change, contentType: "application/jsonp" }, 415],
    ["deleting is changing", LOCAL, { ...change, method: "DELETE" }, 403],
    ["so is any method that nobody knows", LOCAL, { ...change, method: "PATCH" }, 403],
  ] as const) {
    test(`${what}: ${expected}`, () => assert.equal(status(entrance, asking), expected));
  }

  for (const authorization of [
    undefined,
    "",
    SECRET,
    `Bearer ${SECRET}x`,
    `Bearer ${SECRET.slice(1)}`,
    `Bearer ${SECRET.toUpperCase()}`,
    `Bearer  `,
    `Bearer ${SECRET} ${SECRET}`,
    `Basic ${SECRET}`,
    `Bearer`,
  ]) {
    test(`no token: ${authorization}`, () => {
      assert.equal(status(REMOTE, { ...read, authorization }), 401);
      assert.deepEqual(admit(REMOTE, { ...read, authorization, open: true }), {
        allowed: true,
        trusted: false,
      });
    });
  }

  test("the scheme's case does not matter", () => {
    assert.equal(status(REMOTE, { ...read, authorization: `bearer ${SECRET}` }), 200);
  });

  test("names of loopback", () => {
    const good = [
      "localhost",
      "LOCALHOST:1",
      "127.0.0.1",
      "127.0.0.1:9180",
      "127.9.9.9",
      "[::1]",
      "[::1]:80",
    ];
    const bad = [
      undefined,
      "",
      "::1",
      "localhost.evil.example",
      "127.0.0.1.nip.io",
      "10.0.0.1",
      "[fe80::1]:80",
    ];
    assert.deepEqual([...good, ...bad].filter(namesLoopback), good);
  });
});
