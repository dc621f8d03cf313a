// `guideway audit` against a server.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { serve } from "../admin/serve.ts";
import { guidewayAside } from "./guideway.ts";

suite("audit", () => {
  test("a line for each change, whoever made it, and JSON with all of it", async (t) => {
    const { config, machine } = await serve(t);
    const at = "2026-11-24T12:00:00.000Z";
    machine.entries.push(
      { at, by: "signal", action: "reload", target: "c.yaml", outcome: "unchanged", detail: "no difference" },
      {
        at,
        by: "command",
        user: "ann",
        action: "reload",
        target: "n.yaml",
        outcome: "refused",
        detail: "n.yaml:1:1: one\nn.yaml:2:1: two",
      },
    );
    const text = await guidewayAside("audit", "-s", config.socket);
    assert.deepEqual([text.status, text.stderr], [0, ""]);
    assert.equal(
      text.stdout,
      [
        "AT                        BY           ACTION  TARGET  OUTCOME    DETAIL",
        `${at}  signal       reload  c.yaml  unchanged  no difference`,
        `${at}  command ann  reload  n.yaml  refused    n.yaml:1:1: one (and 1 more line)`,
        "",
      ].join("\n"),
    );
    const json = await guidewayAside("audit", "--json", "-s", config.socket);
    assert.deepEqual(JSON.parse(json.stdout), { entries: machine.entries });
  });

  test("nothing yet; nobody there", async (t) => {
    const { config } = await serve(t);
    const none = await guidewayAside("audit", "-s", config.socket);
    assert.deepEqual([none.status, none.stdout], [0, "AT  BY  ACTION  TARGET  OUTCOME  DETAIL\n"]);
    const nobody = await guidewayAside("audit", "-s", "/nowhere.sock");
    assert.deepEqual([nobody.status, nobody.stdout], [1, ""]);
    assert.match(nobody.stderr, /no guideway answers/);
  });
});
