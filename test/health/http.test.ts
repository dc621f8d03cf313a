import assert from "node:assert/strict";
import { createServer } from "node:http";
import { suite, type TestContext, test } from "node:test";
import { answering, checkOf, closedPort, failed, Listener, passed, probeLocal } from "./checks.ts";

interface Seen {
  method: string | undefined;
  url: string | undefined;
  headers: Record<string, unknown>;
}

/** Node's own server: it takes no request that is not HTTP. */
async function serve(t: TestContext, status: number, body = "", headers: Record<string, string> = {}) {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    seen.push({ method: request.method, url: request.url, headers: request.headers });
    response.writeHead(status, headers).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return { port: (server.address() as { port: number }).port, seen };
}

suite("http", () => {
  test("a status of 2xx passes, and the request is what it should be", async (t) => {
    const { port, seen } = await serve(t, 204);
    passed(await probeLocal("type: http, path: /healthz?full=1", port), "status 204");
    assert.deepEqual(seen, [
      {
        method: "GET",
        url: "/healthz?full=1",
        headers: {
          host: `127.0.0.1:${port}`,
          "user-agent": "guideway-health",
          accept: "*/*",
          connection: "close",
        },
      },
    ]);
  });

  test("method and host", async (t) => {
    const { port, seen } = await serve(t, 200);
    passed(await probeLocal("type: http, method: POST, host: www.example.com", port), "status 200");
    passed(await probeLocal("type: http, method: HEAD", port), "status 200");
    assert.deepEqual(
      seen.map(({ method, headers: { host } }) => [method, host]),
      [
        ["POST", "www.example.com"],
        ["HEAD", `127.0.0.1:${port}`],
      ],
    );
  });

  test("a wrong status fails; redirects are not followed", async (t) => {
    const down = await serve(t, 503);
    failed(await probeLocal("type: http", down.port), "status 503, expected 200-299");
    passed(await probeLocal("type: http, status: [200, '500-503']", down.port), "status 503");
    const moved = await serve(t, 302, "", { location: "/" });
    failed(await probeLocal("type: http, status: 200", moved.port), "status 302, expected 200");
    assert.equal(moved.seen.length, 1);
  });

  test("the body, as text and as a pattern", async (t) => {
    const { port } = await serve(t, 200, "all systems\ngo");
    for (const body of ["systems", "/^all.*go$/s", "/^GO$/im", "hex:67 6f"])
      passed(await probeLocal(`type: http, body: "${body}"`, port), "status 200");
    failed(
      await probeLocal("type: http, body: no go", port),
      'status 200, but the body does not contain "no go"',
    );
  });

  test("a chunked body", async (t) => {
    const { port } = await serve(t, 200, "one and two", { "transfer-encoding": "chunked" });
    passed(await probeLocal('type: http, body: "/^one and two$/"', port), "status 200");
  });

  test("an interim response comes before the one that counts", async (t) => {
    const { port } = await answering(
      t,
      "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nok",
    );
    passed(await probeLocal("type: http, body: ok", port), "status 200");
  });

  test("a refused connection and a reset one fail", async (t) => {
    failed(await probeLocal("type: http", await closedPort(t)), "connect ECONNREFUSED");
    const reset = await Listener.start(t, (socket) => socket.once("data", () => socket.resetAndDestroy()));
    failed(await probeLocal("type: http", reset.port), /ECONNRESET$/);
  });

  for (const [what, answer, reason] of [
    ["nothing", "", "closed before a complete response"],
    ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n", "what was received is not HTTP/1"],
    ["half a header", "HTTP/1.1 200 OK\r\nA: b\r\n", "closed before a complete response"],
    ["no status", "HTTP/1.1 OK\r\n\r\n", "what was received is not HTTP/1"],
    ["too long a header", `HTTP/1.1 200 OK\r\nA: ${"a".repeat(70_000)}`, "a header of more than 16384 bytes"],
  ] as const)
    test(`a server that sends ${what} fails`, async (t) => {
      const { port } = await answering(t, answer);
      failed(await probeLocal("type: http", port), reason);
    });

  for (const [what, answer, rest] of [
    [
      "is cut short",
      "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
      ": closed before the end of the body",
    ],
    [
      "has bad chunks",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
      ": a chunk is not announced by its size",
    ],
    [
      "has endless chunk lines",
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${"1;".repeat(3000)}`,
      ": a chunk is announced by too long a line",
    ],
    ["has it after 64 KiB", `HTTP/1.1 200 OK\r\n\r\n${"a".repeat(65_536)}wanted`, ""],
  ] as const)
    test(`a body that ${what} fails`, async (t) => {
      const { port } = await answering(t, answer);
      failed(
        await probeLocal("type: http, body: wanted", port),
        `status 200, but the body does not contain "wanted"${rest}`,
      );
    });

  test("a server that accepts and is silent, or drips, fails when the time is up", async (t) => {
    const silent = await Listener.start(t);
    failed(
      await probeLocal("type: http, timeout: 100ms", silent.port),
      "timed out after 100 ms (waiting for the response)",
    );
    const dripping = await Listener.start(t, (socket) => {
      socket.write("HTTP/1.1 200 OK\r\nX: ");
      const drip = setInterval(() => socket.write("x"), 10);
      socket.once("close", () => clearInterval(drip));
    });
    const started = performance.now();
    failed(
      await probeLocal("type: http, timeout: 150ms", dripping.port),
      "timed out after 150 ms (waiting for the response)",
    );
    assert.ok(performance.now() - started < 2000);
  });

  test("a flood of body is not read to its end", async (t) => {
    let sent = 0;
    const flood = await Listener.start(t, (socket) => {
      const block = Buffer.alloc(65_536, "a");
      const pour = () => {
        while (!socket.destroyed && socket.write(block)) sent += block.length;
      };
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      socket.on("drain", pour);
      pour();
    });
    failed(await probeLocal("type: http, body: wanted", flood.port), /does not contain/);
    assert.ok(sent < 64 << 20, `${sent} bytes`);
  });

  test("a pattern that is slow elsewhere takes no time here", async (t) => {
    const { port } = await answering(t, `HTTP/1.1 200 OK\r\n\r\n${"a".repeat(60_000)}!`);
    const started = performance.now();
    failed(
      await probeLocal('type: http, interval: 10s, timeout: 5s, body: "/^(a+)+$/"', port),
      /does not contain/,
    );
    assert.ok(performance.now() - started < 3000);
  });

  test("the Host header of IPv6 and of port 80", async (t) => {
    const { port, seen } = await serve(t, 200);
    assert.equal(checkOf("type: http", port).port, port);
    await probeLocal("type: http, host: '[fd00::1]:8080'", port);
    assert.equal(seen[0]?.headers.host, "[fd00::1]:8080");
  });
});
