// The server on its socket and over TCP, asked as anybody could ask it.
import assert from "node:assert/strict";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { suite, test } from "node:test";
import { pino } from "pino";
import { AdminServer } from "../../src/admin/server.ts";
import { MemoryMachine } from "./machine.ts";
import { type After, ANY_PORT, ask, askSocket, folderFor, json, serve } from "./serve.ts";

const SECRET = "correct-horse-battery-staple";
const STATE = "/v1/pools/web/backends/web-1/state";
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

function tokenFile(test: After, content = SECRET): { file: string } {
  const file = join(folderFor(test), "token");
  writeFileSync(file, `${content}\n`, { mode: 0o600 });
  return { file };
}

suite("the unix socket", () => {
  test("is its owner's alone, and goes with the server", async (t) => {
    const served = await serve(t);
    assert.equal(statSync(served.config.socket).mode & 0o777, 0o600);
    assert.equal(served.server.url, undefined);
    assert.equal((await askSocket(served, "/v1/status")).json.machine, "lb-1");
    await served.server.close();
    assert.equal(existsSync(served.config.socket), false);
  });

  test("changes what is asked, and says what it did", async (t) => {
    const served = await serve(t);
    const { directory } = served.machine.engine;
    const reply = await askSocket(served, STATE, { method: "PUT", ...json({ state: "draining" }) });
    assert.equal(reply.status, 200);
    assert.deepEqual(reply.json, { pool: "web", backend: "web-1", state: "draining" });
    assert.equal(directory.backends[1]!.state, "draining");
  });

  test("the configuration in force is shown, also when it was replaced", async (t) => {
    const served = await serve(t);
    assert.deepEqual((await askSocket(served, "/v1/config")).json, served.machine.running);
    served.machine.running = { text: "vips: []\npools: {} # none\n", file: "lb.yaml", generation: 2 };
    assert.deepEqual((await askSocket(served, "/v1/config")).json, served.machine.running);
  });

  test("answers are not to be kept nor guessed at", async (t) => {
    const { headers } = await askSocket(await serve(t), "/v1/status");
    assert.equal(headers["cache-control"], "no-store");
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["content-type"], "application/json; charset=utf-8");
  });

  for (const [what, path, options, status, code, message] of [
    ["an unknown path", "/v1/nothing", {}, 404, "NOT_FOUND", /there is no GET \/v1\/nothing/],
    ["an unknown method", "/v1/status", { method: "DELETE", ...json({}) }, 404, "NOT_FOUND", /no DELETE/],
    ["an unknown pool", "/v1/pools/wbe/table", {}, 404, "UNKNOWN", /no pool "wbe"/],
    [
      "a bad state",
      STATE,
      { method: "PUT", ...json({ state: "off" }) },
      400,
      "BAD_REQUEST",
      /body\.state: .*"active"/,
    ],
    [
      "an unknown key",
      STATE,
      { method: "PUT", ...json({ state: "dead", by: "me" }) },
      400,
      "BAD_REQUEST",
      /by/,
    ],
    ["no body", STATE, { method: "PUT", headers: json(0).headers }, 400, "BAD_REQUEST", /body/],
    ["no JSON", STATE, { method: "PUT", headers: json(0).headers, body: "{" }, 400, "BAD_REQUEST", /JSON/],
    [
      "a prototype",
      STATE,
      { method: "PUT", headers: json(0).headers, body: '{"__proto__":{}}' },
      400,
      "BAD_REQUEST",
      /prototype|JSON/,
    ],
    ["a form", STATE, { method: "PUT", body: "state=dead" }, 415, "CONTENT_TYPE", /application\/json/],
    ["too much", STATE, { method: "PUT", ...json("x".repeat(2 << 20)) }, 413, "BAD_REQUEST", /large/],
    ["a pool's name of 2,000 bytes", `/v1/pools/${"x".repeat(2000)}/table`, {}, 414, "BAD_REQUEST", /length/],
    ["a broken escape", "/v1/pools/%zz/table", {}, 400, "BAD_REQUEST", /./],
  ] as const) {
    test(`refused: ${what}`, async (t) => {
      const served = await serve(t);
      const reply = await askSocket(served, path, options);
      assert.equal(reply.status, status, reply.text);
      assert.deepEqual(Object.keys(reply.json), ["error"], reply.text);
      assert.equal(reply.json.error.code, code);
      assert.match(reply.json.error.message, message);
      assert.equal(served.machine.engine.directory.backends[1]!.state, "active");
    });
  }

  test("a defect is answered and logged, and the server goes on", async (t) => {
    const served = await serve(t);
    served.machine.auditFrames = () => {
      throw new TypeError("something is undefined");
    };
    const reply = await askSocket(served, "/v1/frames");
    assert.deepEqual([reply.status, reply.json.error.code], [500, "INTERNAL"]);
    const line = JSON.parse(served.log.find((each) => each.includes("admin request failed"))!);
    assert.match(line.err.stack, /something is undefined\n +at /);
    assert.equal((await askSocket(served, "/v1/pools/web/table")).status, 200);
  });
});

suite("TCP on loopback without a token", () => {
  test("answers, and changes nothing", async (t) => {
    const { server, machine } = await serve(t, { listen: ANY_PORT });
    assert.match(server.url!, /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.equal((await ask(`${server.url}/v1/status`)).status, 200);
    const reply = await ask(`${server.url}${STATE}`, { method: "PUT", ...json({ state: "dead" }) });
    assert.deepEqual([reply.status, reply.json.error.code], [403, "READ_ONLY"]);
    assert.match(reply.json.error.message, /admin\.socket.*admin\.token/);
    assert.equal(machine.engine.directory.backends[1]!.state, "active");
  });

  test("a name that somebody made resolve to it gets nothing", async (t) => {
    const { server } = await serve(t, { listen: ANY_PORT });
    for (const path of ["/v1/status", "/healthz", "/nothing"]) {
      const reply = await ask(`${server.url}${path}`, { headers: { host: "evil.example" } });
      assert.deepEqual([reply.status, reply.json.error.code], [403, "HOST"], path);
    }
  });

  test("IPv6", async (t) => {
    const { server } = await serve(t, { listen: { host: "::1", port: 0 } });
    assert.match(server.url!, /^http:\/\/\[::1\]:\d+$/);
    assert.equal((await ask(`${server.url}/readyz`)).status, 200);
  });

  test("an address that is taken is named, and nothing is left", async (t) => {
    const { server } = await serve(t, { listen: ANY_PORT });
    const listen = { host: "127.0.0.1", port: Number(server.url!.split(":")[2]) };
    const socket = join(folderFor(t), "admin.sock");
    const log = pino({ level: "silent" });
    await assert.rejects(AdminServer.listen(new MemoryMachine(), { socket, listen }, log), {
      code: "ADMIN_LISTEN",
      message: /^admin\.listen: cannot listen on 127\.0\.0\.1 port \d+: .*EADDRINUSE/,
    });
    assert.equal(existsSync(socket), false);
  });

  test("what is no HTTP is answered by 400 and closed", async (t) => {
    const { server } = await serve(t, { listen: ANY_PORT });
    const socket = connect(Number(server.url!.split(":")[2]), "127.0.0.1");
    socket.write("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n");
    let text = "";
    for await (const chunk of socket) text += chunk;
    assert.match(text, /^HTTP\/1\.1 400 /);
    assert.equal((await ask(`${server.url}/healthz`)).status, 200);
  });
});

suite("TCP with a token", () => {
  test("every path but health needs it, unknown ones too", async (t) => {
    const { server } = await serve(t, { listen: ANY_PORT, token: tokenFile(t) });
    for (const path of ["/v1/status", "/v1/openapi.json", "/metrics", "/", "/nothing", "/healthz/x"]) {
      const without = await ask(`${server.url}${path}`);
      assert.deepEqual([without.status, without.json.error.code], [401, "TOKEN"], path);
      assert.equal(without.headers["www-authenticate"], "Bearer");
      const wrong = await ask(`${server.url}${path}`, { headers: bearer(`${SECRET}!`) });
      assert.equal(wrong.status, 401, path);
    }
    assert.equal((await ask(`${server.url}/v1/status`, { headers: bearer(SECRET) })).status, 200);
    const { headers, body } = json({ state: "draining" });
    const options = { method: "PUT", headers: { ...headers, ...bearer(SECRET) }, body } as const;
    assert.equal((await ask(`${server.url}${STATE}`, options)).status, 200);
  });

  test("health is for all, its reasons are not", async (t) => {
    const { server, machine } = await serve(t, { listen: ANY_PORT, token: tokenFile(t) });
    machine.now = { healthy: false, ready: false, reasons: ["eth0 is down"] };
    for (const path of ["/healthz", "/readyz"]) {
      const anybody = await ask(`${server.url}${path}`);
      assert.deepEqual([anybody.status, anybody.json.reasons], [503, []]);
      const operator = await ask(`${server.url}${path}`, { headers: bearer(SECRET) });
      assert.deepEqual([operator.status, operator.json.reasons], [503, ["eth0 is down"]]);
    }
  });

  test("a new token counts after reload, and only then", async (t) => {
    const token = tokenFile(t);
    const { server, config } = await serve(t, { listen: ANY_PORT, token });
    const status = async (shown: string) =>
      (await ask(`${server.url}/v1/status`, { headers: bearer(shown) })).status;
    const next = "a-new-token-of-some-length";
    writeFileSync(token.file, next);
    assert.deepEqual([await status(SECRET), await status(next)], [200, 401]);
    server.reload(config);
    assert.deepEqual([await status(SECRET), await status(next)], [401, 200]);
    writeFileSync(token.file, "short");
    assert.throws(() => server.reload(config), { code: "ADMIN_TOKEN" });
    assert.equal(await status(next), 200, "the old one stays");
    const other = { ...config, listen: { host: "127.0.0.1", port: 1 } };
    assert.throws(() => server.reload(other), { code: "ADMIN_RESTART" });
  });

  test("no token is ever logged", async (t) => {
    const { server, log } = await serve(t, { listen: ANY_PORT, token: tokenFile(t) });
    const wrong = "wrong-token-0123456789";
    for (const token of [SECRET, wrong]) await ask(`${server.url}/v1/status`, { headers: bearer(token) });
    assert.ok(log.length > 0);
    assert.ok(!log.join("").includes(SECRET) && !log.join("").includes(wrong));
  });

  test("a token that is no token keeps the server from starting, and nothing is left", async (t) => {
    const socket = join(folderFor(t), "admin.sock");
    const config = { socket, listen: ANY_PORT, token: tokenFile(t, "short") };
    const log = pino({ level: "silent" });
    await assert.rejects(AdminServer.listen(new MemoryMachine(), config, log), { code: "ADMIN_TOKEN" });
    assert.equal(existsSync(socket), false);
  });
});
