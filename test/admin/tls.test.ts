// TLS on the TCP address, with certificates of both sides, and the commands' client against it.
import assert from "node:assert/strict";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { AdminClient, type AdminTarget } from "../../src/admin/client.ts";
import { Authority } from "./certificates.ts";
import { type After, ANY_PORT, ask, folderFor, serve } from "./serve.ts";

const SECRET = "correct-horse-battery-staple";
const folder = folderFor({ after: (hook) => after(hook as () => void) });
const authority = new Authority(folder, "authority");
const other = new Authority(folder, "other");
const machine = authority.issue("machine", "IP:127.0.0.1");
const operator = authority.issue("operator", "DNS:operator");
const stranger = other.issue("stranger", "DNS:operator");
const token = join(folder, "token");
writeFileSync(token, SECRET, { mode: 0o600 });

async function connected<T>(target: AdminTarget, call: (client: AdminClient) => Promise<T>): Promise<T> {
  const client = new AdminClient(target);
  try {
    return await call(client);
  } finally {
    await client.close();
  }
}

const status = (target: AdminTarget) => connected(target, async (client) => (await client.status()).machine);

suite("TLS", () => {
  const { certificate, key } = machine;
  const ca = authority.ca.certificate;
  const secure = (test: After, tls: object = {}) =>
    serve(test, { listen: ANY_PORT, token: { file: token }, tls: { certificate, key, ...tls } });

  test("a client that knows the authority and shows the token is served", async (t) => {
    const { server } = await secure(t);
    assert.match(server.url!, /^https:/);
    const url = server.url!;
    assert.equal(await status({ url, token, ca }), "lb-1");
    await assert.rejects(status({ url, ca }), { code: "TOKEN", message: /Bearer/ });
    await assert.rejects(status({ url, token }), { code: "NOT_RUNNING", message: /certificate|issuer/ });
    await assert.rejects(status({ url: url.replace("https", "http"), token }), { code: "NOT_RUNNING" });
  });

  test("clientCa: only clients with a certificate of it", async (t) => {
    const { server } = await secure(t, { clientCa: ca });
    const target = { url: server.url!, token, ca };
    const show = ({ certificate, key }: { certificate: string; key: string }) => ({
      ...target,
      certificate,
      key,
    });
    assert.equal(await status(show(operator)), "lb-1");
    await assert.rejects(status(target), { code: "NOT_RUNNING" });
    await assert.rejects(status(show(stranger)), { code: "NOT_RUNNING" });
  });

  test("a renewed certificate counts after reload", async (t) => {
    const files = { certificate: join(folder, "now.pem"), key: join(folder, "now.key") };
    copyFileSync(certificate, files.certificate);
    copyFileSync(key, files.key);
    const { server, config } = await secure(t, files);
    const url = server.url!;
    const next = other.issue("machine2", "IP:127.0.0.1");
    copyFileSync(next.certificate, files.certificate);
    assert.throws(() => server.reload(config), { code: "ADMIN_TLS", message: /own key/ });
    assert.equal(await status({ url, token, ca }), "lb-1", "the old one stays");
    copyFileSync(next.key, files.key);
    server.reload(config);
    await assert.rejects(status({ url, token, ca }), { code: "NOT_RUNNING" });
    assert.equal(await status({ url, token, ca: other.ca.certificate }), "lb-1");
  });

  test("TLS 1.1 is refused", async (t) => {
    const { server } = await secure(t);
    const connect = { ca: readFileSync(ca), maxVersion: "TLSv1.1", minVersion: "TLSv1" } as const;
    await assert.rejects(ask(`${server.url}/healthz`, { connect }), /protocol|SSL|TLS/i);
  });

  test("files that are no certificates are named", async (t) => {
    const nonsense = join(folder, "nonsense.pem");
    writeFileSync(nonsense, "nonsense");
    await assert.rejects(secure(t, { certificate: nonsense }), {
      code: "ADMIN_TLS",
      message: /nonsense\.pem/,
    });
    await assert.rejects(secure(t, { key: join(folder, "none") }), {
      code: "ADMIN_FILE",
      message: /admin\.tls\.key: .*ENOENT/,
    });
  });
});

suite("the client", () => {
  test("over plain TCP and by the socket", async (t) => {
    const { server, config } = await serve(t, { listen: ANY_PORT, token: { file: token } });
    assert.equal(await status({ url: server.url!, token }), "lb-1");
    assert.equal(await status({ socket: config.socket }), "lb-1");
    const table = await connected({ url: `${server.url}/`, token }, (client) => client.table("web"));
    assert.equal(table.size, 251);
    await connected({ url: server.url!, token }, (client) => client.setBackendState("web", "web-1", "dead"));
    const missing = connected({ url: server.url!, token }, (client) => client.table("a/b ?"));
    await assert.rejects(missing, { code: "UNKNOWN", message: /"a\/b \?"/ });
  });

  for (const url of [
    "",
    "127.0.0.1:9180",
    "ftp://127.0.0.1",
    "http://h/path",
    "http://h/?q",
    "http://u:p@h/",
  ]) {
    test(`refused: ${JSON.stringify(url)}`, () => {
      assert.throws(() => new AdminClient({ url }), {
        code: "USAGE",
        exitCode: 2,
        message: /^--url ".*expected http/,
      });
    });
  }

  test("a token that cannot be used is named, not shown", () => {
    const bad = join(folder, "bad");
    writeFileSync(bad, "bad token with spaces");
    const url = "http://127.0.0.1:1";
    assert.throws(
      () => new AdminClient({ url, token: bad }),
      ({ code, message }: Error & { code: string }) => {
        assert.equal(code, "ADMIN_TOKEN");
        return message.startsWith("--token-file: ") && !message.includes("spaces");
      },
    );
    assert.throws(() => new AdminClient({ url, ca: join(folder, "none") }), {
      code: "USAGE",
      message: /--tls-ca .*ENOENT/,
    });
  });

  test("what is no guideway is not taken for one", async (t) => {
    const { createServer } = await import("node:http");
    const web = createServer((_, response) => response.end("<html>")).listen(0, "127.0.0.1");
    t.after(() => web.close());
    await new Promise((resolve) => web.once("listening", resolve));
    const { port } = web.address() as { port: number };
    await assert.rejects(status({ url: `http://127.0.0.1:${port}` }), {
      code: "ADMIN",
      message: /no guideway/,
    });
    await assert.rejects(status({ url: "http://127.0.0.1:1" }), {
      code: "NOT_RUNNING",
      message: /ECONNREFUSED.*--url/,
    });
  });
});
