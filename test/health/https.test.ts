import assert from "node:assert/strict";
import { copyFileSync, utimesSync } from "node:fs";
import { createServer } from "node:https";
import { after, before, suite, type TestContext, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { type Certificate, certificate } from "./certificate.ts";
import { answering, failed, Listener, passed, probeLocal } from "./checks.ts";

suite("https", () => {
  const cleanups: (() => void)[] = [];
  const scope = { after: (fn: () => void) => void cleanups.push(fn) } as unknown as TestContext;
  let own: Certificate;
  let other: Certificate;
  before(() => {
    own = certificate(scope, ["DNS:www.example.com", "IP:127.0.0.1"]);
    other = certificate(scope, ["DNS:other.example.com"]);
  });
  after(() => {
    for (const cleanup of cleanups) cleanup();
  });

  async function serve(t: TestContext, { key, cert }: Certificate) {
    const names: (string | false)[] = [];
    const server = createServer({ key, cert }, (request, response) => {
      names.push((request.socket as TLSSocket & { servername: string | false }).servername);
      response.end("ok");
    });
    server.on("tlsClientError", () => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    return { port: (server.address() as { port: number }).port, names };
  }

  test("a certificate of a given authority, for the address", async (t) => {
    const { port, names } = await serve(t, own);
    passed(await probeLocal(`type: https, body: ok, tls: { ca: ${own.file} }`, port), "status 200");
    assert.deepEqual(names, [false], "an address is no server name");
  });

  test("the server name is that of `tls`, else of `host`", async (t) => {
    const { port, names } = await serve(t, own);
    const ca = `ca: ${own.file}`;
    passed(await probeLocal(`type: https, host: "www.example.com:443", tls: { ${ca} }`, port), "status 200");
    passed(
      await probeLocal(`type: https, host: x.example.com, tls: { ${ca}, serverName: www.example.com }`, port),
      "status 200",
    );
    assert.deepEqual(names, ["www.example.com", "www.example.com"]);
  });

  test("an unknown authority, another name and another authority fail", async (t) => {
    const { port } = await serve(t, own);
    failed(
      await probeLocal("type: https", port),
      /^TLS: (DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN)$/,
    );
    failed(
      await probeLocal(`type: https, tls: { ca: ${own.file}, serverName: www.example.org }`, port),
      "TLS: ERR_TLS_CERT_ALTNAME_INVALID",
    );
    failed(await probeLocal(`type: https, tls: { ca: ${other.file} }`, port), /^TLS: /);
  });

  test("verify: false takes any certificate", async (t) => {
    const { port } = await serve(t, other);
    passed(await probeLocal("type: https, tls: { verify: false }", port), "status 200");
  });

  test("an authority that cannot be read says nothing about the backend; one that changes is read again", async (t) => {
    const { port } = await serve(t, own);
    const missing = await probeLocal("type: https, tls: { ca: /nonexistent/ca.pem }", port);
    assert.equal(missing.verdict, "inconclusive");
    assert.match(missing.reason, /^tls\.ca: ENOENT/);
    const file = `${own.file}.copy`;
    copyFileSync(other.file, file);
    failed(await probeLocal(`type: https, tls: { ca: ${file} }`, port), /^TLS: /);
    copyFileSync(own.file, file);
    utimesSync(file, 1, 1);
    passed(await probeLocal(`type: https, tls: { ca: ${file} }`, port), "status 200");
  });

  test("a server without TLS, one that resets and one that is silent fail", async (t) => {
    const plain = await answering(t, "HTTP/1.1 400 Bad Request\r\n\r\n");
    failed(await probeLocal("type: https", plain.port), /^TLS: ERR_SSL_/);
    const reset = await Listener.start(t, (socket) => socket.once("data", () => socket.resetAndDestroy()));
    failed(await probeLocal("type: https", reset.port), /ECONNRESET$/);
    const silent = await Listener.start(t);
    failed(
      await probeLocal("type: https, timeout: 100ms", silent.port),
      "timed out after 100 ms (TLS handshake)",
    );
    await silent.idle();
  });

  test("the connection is reset when the check is over", async (t) => {
    const { key, cert } = own;
    let open = 0;
    const server = createServer({ key, cert }, (_, response) => response.end("ok"));
    server.on("connection", (socket) => {
      open++;
      socket.on("close", () => open--);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const { port } = server.address() as { port: number };
    passed(await probeLocal("type: https, tls: { verify: false }", port), "status 200");
    while (open > 0) await new Promise(setImmediate);
  });
});
