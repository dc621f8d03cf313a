// `guideway workers` against a server.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { serve } from "../admin/serve.ts";
import { guidewayAside } from "./guideway.ts";

suite("workers", () => {
  test("a number that the machine has room for", async (t) => {
    const { config, machine } = await serve(t);
    const { status, stdout, stderr } = await guidewayAside("workers", "1", "-s", config.socket);
    assert.deepEqual([status, stdout, stderr], [0, "1 worker forwards\n", ""]);
    assert.equal(machine.engine.owners.running, 1);
    assert.deepEqual(machine.entries.at(-1)!.action, "workers");
  });

  test("more than that is refused", async (t) => {
    const { config } = await serve(t);
    const { status, stdout, stderr } = await guidewayAside("workers", "32", "-s", config.socket);
    assert.deepEqual([status, stdout, stderr], [1, "", "started for 1 to 1\n"]);
  });

  for (const count of ["0", "33", "x", "1.5"])
    test(`refused, with 2: ${count}`, async (t) => {
      const { config } = await serve(t);
      const { status, stdout, stderr } = await guidewayAside("workers", "-s", config.socket, "--", count);
      assert.deepEqual([status, stdout], [2, ""]);
      assert.match(stderr, /expected an integer from 1 to 32/);
    });
});
