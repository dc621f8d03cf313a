import assert from "node:assert/strict";
import { test } from "node:test";
import fastify from "fastify";
import { serveConfig } from "../../src/admin/config.ts";

test("GET /v1/config is the configuration in force, also when it was replaced", async () => {
  const server = fastify();
  const machine = { running: { text: "pools: {}\nvips: [] # none\n", file: "lb.yaml", generation: 1 } };
  serveConfig(server, machine);
  const get = async () => (await server.inject({ method: "GET", url: "/v1/config" })).json();
  assert.deepEqual(await get(), { text: "pools: {}\nvips: [] # none\n", file: "lb.yaml", generation: 1 });
  machine.running = { text: "vips: []\npools: {}\n", file: "lb.yaml", generation: 2 };
  assert.deepEqual(await get(), machine.running);
  await server.close();
});
