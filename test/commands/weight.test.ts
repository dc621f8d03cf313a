// `guideway weight` against a server.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { serve } from "../admin/serve.ts";
import { guidewayAside } from "./guideway.ts";

suite("weight", () => {
  for (const weight of [0, 20, 65_535]) {
    test(`${weight}`, async (t) => {
      const { config, machine } = await serve(t);
      const { status, stdout, stderr } = await guidewayAside(
        "weight",
        "web-2",
        `${weight}`,
        "-s",
        config.socket,
      );
      assert.deepEqual([status, stdout, stderr], [0, `web/web-2 has weight ${weight}\n`, ""]);
      const { directory } = machine.engine;
      assert.equal(directory.backend("web", "web-2").weight, weight);
      const share = directory.table("web").share(directory.backend("web", "web-2").id);
      assert.ok(Math.abs(share - weight / (weight + 1)) < 0.01, `${share}`);
    });
  }

  test("0 for the last one of its pool only with --force", async (t) => {
    const { config, machine } = await serve(t);
    machine.last = "web-2";
    const weight = (...args: string[]) => guidewayAside("weight", "web-2", ...args, "-s", config.socket);
    const refused = await weight("0");
    assert.deepEqual([refused.status, refused.stderr], [1, "web-2 is the last backend\n"]);
    assert.equal((await weight("1")).status, 0);
    assert.equal((await weight("0", "--force")).status, 0);
    assert.equal(machine.engine.directory.backend("web", "web-2").weight, 0);
  });

  for (const weight of ["-1", "65536", "1e3"]) {
    test(`refused, with 2: ${JSON.stringify(weight)}`, async (t) => {
      const { config, machine } = await serve(t);
      const { status, stdout, stderr } = await guidewayAside(
        "weight",
        "-s",
        config.socket,
        "--",
        "web-2",
        weight,
      );
      assert.deepEqual([status, stdout], [2, ""]);
      assert.match(stderr, /expected an integer from 0 to 65535/i);
      assert.equal(machine.engine.directory.backend("web", "web-2").weight, 3);
    });
  }

  test("refused: unknown backends with 2, nobody there with 1", async (t) => {
    const { config } = await serve(t);
    const unknown = await guidewayAside("weight", "db-1", "3", "-s", config.socket);
    assert.deepEqual([unknown.status, unknown.stdout], [2, ""]);
    assert.match(unknown.stderr, /there is no backend "db-1"; there are web\/web-1, web\/web-2/);
    assert.equal((await guidewayAside("weight", "web-1", "3", "-s", "/nowhere.sock")).status, 1);
  });
});
