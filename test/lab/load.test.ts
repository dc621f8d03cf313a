/** Client against servers on this machine's loopback: no namespaces, no root. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Load, type LoadOptions } from "../../src/lab/load.ts";
import { patternPieces } from "../../src/lab/pattern.ts";
import { download, upload } from "../../src/lab/transfer.ts";

const LIMIT = { timeout: 30_000 };

async function listen(t: TestContext, listener: RequestListener): Promise<{ server: Server; url: URL }> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server, url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`) };
}

function start(t: TestContext, url: URL, options: Partial<LoadOptions>): Load {
  const load = new Load({
    ...{
      urls: [url],
      concurrency: 0,
      requestsPerConnection: 1,
      rate: 0,
      longLived: 0,
      longLivedIntervalMs: 5,
    },
    timeoutMs: 300,
    ...options,
  });
  // Also where the test fails before it stops the load itself.
  t.after(() => load.stop());
  return load;
}

test("every request has a connection of its own, and answers are counted by backend", LIMIT, async (t) => {
  let connections = 0;
  let answers = 0;
  const { server, url } = await listen(t, (_request, response) => {
    response.setHeader("x-backend", answers++ % 2 === 0 ? "a" : "b").end("x");
  });
  server.on("connection", () => connections++);
  const load = start(t, url, { concurrency: 2 });
  await sleep(200);
  const summary = await load.stop();
  assert.ok(summary.ok > 10);
  assert.equal(summary.failed, 0, JSON.stringify(summary));
  assert.equal(connections, summary.ok);
  assert.equal(summary.backends.a! + summary.backends.b!, summary.ok);
  assert.ok(summary.latency.p50 > 0 && summary.latency.p50 <= summary.latency.max);
});

test("connections are reused as often as asked for", LIMIT, async (t) => {
  let connections = 0;
  const { server, url } = await listen(
    t,
    (_request, response) => void response.setHeader("x-backend", "a").end("x"),
  );
  server.on("connection", () => connections++);
  const load = start(t, url, { concurrency: 1, requestsPerConnection: 5 });
  await sleep(200);
  const { ok, failed } = await load.stop();
  assert.equal(failed, 0);
  assert.equal(connections, Math.ceil(ok / 5));
});

test("the rate is kept", LIMIT, async (t) => {
  const { url } = await listen(t, (_request, response) => void response.setHeader("x-backend", "a").end("x"));
  const load = start(t, url, { concurrency: 4, rate: 100 });
  await sleep(1000);
  const { ok } = await load.stop();
  assert.ok(ok >= 60 && ok <= 115, `${ok} in a second`);
});

for (const [reason, listener] of Object.entries<RequestListener>({
  "status-503": (_request, response) => void response.writeHead(503, { "x-backend": "a" }).end(),
  "no-backend-name": (_request, response) => void response.end("x"),
  "response-timeout": () => {},
  "body-timeout": (_request, response) => void response.setHeader("x-backend", "a").write("x"),
  ECONNRESET: (request) => void request.socket.resetAndDestroy(),
})) {
  test(`a failed request says why: ${reason}`, LIMIT, async (t) => {
    const { url } = await listen(t, listener);
    const load = start(t, url, { concurrency: 1 });
    await sleep(100);
    const summary = await load.stop();
    assert.deepEqual([summary.ok, Object.keys(summary.reasons)], [0, [reason]]);
    assert.ok(summary.failed >= 1);
  });
}

test("a failed request says why: ECONNREFUSED", LIMIT, async (t) => {
  const { server, url } = await listen(t, () => {});
  server.close();
  await once(server, "close");
  const load = start(t, url, { concurrency: 1 });
  await sleep(100);
  const { reasons, failures, failed } = await load.stop();
  assert.deepEqual(Object.keys(reasons), ["ECONNREFUSED"]);
  assert.equal(failures.length, failed);
  for (const { from, backend, longLived } of failures) {
    assert.deepEqual([from!.address, backend, longLived], ["127.0.0.1", undefined, false]);
    assert.ok(from!.port > 1023);
  }
});

test("a failed request tells its connection, its time, and who had answered before", LIMIT, async (t) => {
  const ports: number[] = [];
  const { url } = await listen(t, (request, response) => {
    ports.push(request.socket.remotePort!);
    if (ports.length % 3 !== 0) response.setHeader("x-backend", "a").end("x");
  });
  const before = Date.now();
  const load = start(t, url, { concurrency: 1, requestsPerConnection: 10, timeoutMs: 50 });
  await sleep(300);
  const { failures } = await load.stop();
  assert.ok(failures.length >= 2);
  for (const [i, failure] of failures.entries()) {
    const { startedAt, ms, reason, from, backend } = failure;
    assert.deepEqual([reason, backend, failure.url], ["response-timeout", "a", url.href]);
    assert.equal(from!.port, ports[3 * i + 2]);
    assert.ok(startedAt >= before - 1 && startedAt + ms <= Date.now() + 1);
  }
});

test("a long-lived connection that is cut counts as lost, and is opened again", LIMIT, async (t) => {
  let cut = false;
  const { url } = await listen(t, (request, response) => {
    if (cut) request.socket.resetAndDestroy();
    else response.setHeader("x-backend", "a").end("x");
    cut = false;
  });
  const load = start(t, url, { longLived: 1 });
  await sleep(200);
  const before = load.report().longLived;
  assert.deepEqual([before.open, before.lost, before.moved], [1, 0, 0]);
  cut = true;
  await sleep(300);
  const { longLived, failed, failures } = await load.stop();
  assert.deepEqual(
    [longLived.open, longLived.lost, longLived.failed, longLived.moved, failed],
    [1, 1, 1, 0, 1],
  );
  assert.deepEqual(longLived.lostFrom, { a: 1 });
  assert.deepEqual([failures[0]!.backend, failures[0]!.longLived], ["a", true]);
});

test(
  "a long-lived connection that the server closes between two requests counts as lost",
  LIMIT,
  async (t) => {
    let close = false;
    const { url } = await listen(t, (request, response) => {
      response.setHeader("x-backend", "a").end("x");
      if (close) setTimeout(() => request.socket.end(), 10);
      close = false;
    });
    const load = start(t, url, { longLived: 1, longLivedIntervalMs: 50 });
    await sleep(200);
    close = true;
    await sleep(300);
    const { longLived, failed } = await load.stop();
    assert.deepEqual([longLived.open, longLived.lost, failed], [1, 1, 0]);
  },
);

test("an answer by another backend on the same connection counts as moved", LIMIT, async (t) => {
  let answers = 0;
  const { url } = await listen(t, (_request, response) => {
    response.setHeader("x-backend", answers++ < 5 ? "a" : "b").end("x");
  });
  const load = start(t, url, { longLived: 1 });
  await sleep(300);
  const { longLived } = await load.stop();
  assert.deepEqual([longLived.moved, longLived.lost], [1, 0]);
});

test("a download with one wrong byte, or one byte short, is not ok", LIMIT, async (t) => {
  const bytes = Buffer.concat([...patternPieces(100_000, 3)]);
  let body = bytes;
  const { url } = await listen(
    t,
    (_request, response) => void response.setHeader("x-backend", "a").end(body),
  );
  const get = async () => (await download({ url, bytes: 100_000, seed: 3, timeoutMs: 1000 })).reason;
  assert.equal(await get(), undefined);
  body = bytes.subarray(0, 99_999);
  assert.equal(await get(), "length 99999");
  body = Buffer.from(bytes);
  body[77_777]! ^= 128;
  assert.equal(await get(), "byte 77777 differs");
});

test(
  "an upload that arrived otherwise is not ok, and one that nobody reads ends in time",
  LIMIT,
  async (t) => {
    const { url } = await listen(t, (request, response) => {
      if (request.url === "/sink") {
        request.resume().on("end", () => {
          response.setHeader("x-backend", "a").end(JSON.stringify({ bytes: 100_000, sha256: "0" }));
        });
      }
    });
    const options = { url, bytes: 100_000, seed: 3, timeoutMs: 1000 };
    assert.equal((await upload(options)).reason, "sha256 differs");
    assert.equal((await upload({ ...options, bytes: 90_000 })).reason, "length 100000");
    const stuck = await listen(t, (request) => void request.pause());
    const result = await upload({ ...options, url: stuck.url, bytes: 20_000_000, timeoutMs: 300 });
    assert.equal(result.reason, "response-timeout");
  },
);
