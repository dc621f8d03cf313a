// The OpenAPI document: it is valid, it has every route, and what routes answer is what it says.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { pino } from "pino";
import { createApp } from "../../src/admin/app.ts";
import { CONFIG, MemoryMachine } from "./machine.ts";
import { AnswerChecker, type ApiDocument } from "./openapi.ts";
import { ANY_PORT, ask, askSocket, json, serve } from "./serve.ts";

const log = pino({ level: "silent" });
const app = await createApp(new MemoryMachine(), { entrance: { kind: "socket" }, log });
const document = JSON.parse((await app.inject("/v1/openapi.json")).body) as ApiDocument;

suite("the OpenAPI document", () => {
  test("is valid OpenAPI 3.1", async () => {
    const validator = new Validator();
    const { valid, errors } = await validator.validate(
      structuredClone(document) as object as Record<string, unknown>,
    );
    assert.equal(valid, true, JSON.stringify(errors));
    assert.equal(validator.version, "3.1");
  });

  test("has every route of the server, and no other", () => {
    const served = [...app.printRoutes({ commonPrefix: false }).matchAll(/(\/\S*) \(([A-Z, ]+)\)/g)];
    const routes = served.flatMap(([, path, methods]) =>
      methods!.split(", ").map((each) => `${each} ${path}`),
    );
    const documented = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map(
        (method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ":$1")}`,
      ),
    );
    assert.ok(routes.length >= 8, app.printRoutes());
    assert.deepEqual(documented.sort(), routes.sort());
  });

  test("says what every operation is for, and explains every number that it answers with", () => {
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const [method, { summary, responses }] of Object.entries(operations)) {
        assert.ok(summary, `${method} ${path}`);
        for (const [status, { description }] of Object.entries(responses))
          assert.notEqual(description, "Default Response", `${method} ${path} ${status}`);
      }
    }
  });

  test("what is open needs no token", () => {
    const open = Object.entries(document.paths).filter(([, { get }]) => get?.security?.length === 0);
    assert.deepEqual(open.map(([path]) => path).sort(), ["/healthz", "/readyz"]);
  });
});

suite("answers are what the document says", () => {
  const STATE = "/v1/pools/web/backends/web-1/state";
  const WEIGHT = "/v1/pools/web/backends/web-1/weight";
  const checker = new AnswerChecker(document);

  for (const [what, method, path, status, request, unwell] of [
    ["status", "GET", "/v1/status", 200],
    ["the configuration", "GET", "/v1/config", 200],
    ["frames", "GET", "/v1/frames", 200],
    ["a table", "GET", "/v1/pools/web/table", 200],
    ["an empty table", "GET", "/v1/pools/spare/table", 200],
    ["no such table", "GET", "/v1/pools/none/table", 404],
    ["a change", "PUT", STATE, 200, json({ state: "dead" })],
    ["a bad change", "PUT", STATE, 400, json({ state: "ded" })],
    ["a change of nothing", "PUT", "/v1/pools/web/backends/web-9/state", 404, json({ state: "dead" })],
    ["a weight", "PUT", WEIGHT, 200, json({ weight: 7 })],
    ["a bad weight", "PUT", WEIGHT, 400, json({ weight: 70_000 })],
    ["a weight of nothing", "PUT", "/v1/pools/web/backends/web-9/weight", 404, json({ weight: 1 })],
    ["a reload", "POST", "/v1/reload", 200, json({ text: CONFIG, file: "new.yaml", force: true })],
    ["a reload of the file", "POST", "/v1/reload", 200, json({})],
    ["a reload with errors", "POST", "/v1/reload", 422, json({ text: "pools: 1" })],
    ["workers", "PUT", "/v1/workers", 200, json({ workers: 1 })],
    ["no workers", "PUT", "/v1/workers", 400, json({ workers: 0 })],
    ["changes", "GET", "/v1/audit", 200],
    ["so many changes", "GET", "/v1/audit?limit=1", 200],
    ["too many changes", "GET", "/v1/audit?limit=0", 400],
    ["alive", "GET", "/healthz", 200],
    ["not alive", "GET", "/healthz", 503, {}, true],
    ["ready", "GET", "/readyz", 200],
    ["not ready", "GET", "/readyz", 503, {}, true],
    ["metrics", "GET", "/metrics", 200],
    ["the document", "GET", "/v1/openapi.json", 200],
  ] as [string, "GET" | "PUT" | "POST", string, number, object?, boolean?][]) {
    test(`${what}: ${status}`, async (t) => {
      const served = await serve(t);
      if (unwell) served.machine.now = { healthy: false, ready: false, reasons: ["a reason"] };
      const reply = await askSocket(served, path, { method, ...request });
      assert.equal(reply.status, status, reply.text);
      checker.check(method, path.replace(/\?.*/, ""), reply);
    });
  }

  test("refusals", async (t) => {
    const { server } = await serve(t, { listen: ANY_PORT });
    for (const [path, operations] of Object.entries(document.paths)) {
      const filled = path.replaceAll(/\{(\w+)\}/g, "x");
      for (const method of Object.keys(operations)) {
        const options = { method: method.toUpperCase() as "GET", headers: { host: "evil.example" } };
        const reply = await ask(`${server.url}${filled}`, options);
        assert.equal(reply.status, 403);
        checker.check(method, filled, reply);
      }
    }
  });

  test("every documented answer was compared", () => assert.deepEqual(checker.unchecked, []));
});
