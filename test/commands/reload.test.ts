// `guideway reload`: which text is sent, what is shown of the answer, how refusals end.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { GuidewayError } from "../../src/errors.ts";
import { CONFIG, MemoryMachine } from "../admin/machine.ts";
import { ANY_PORT, folderFor, serve } from "../admin/serve.ts";
import { guidewayAside } from "./guideway.ts";

/** Keeps what it was asked for. */
class Asked extends MemoryMachine {
  requests: Parameters<MemoryMachine["reload"]>[0][] = [];

  override reload(...args: Parameters<MemoryMachine["reload"]>): ReturnType<MemoryMachine["reload"]> {
    this.requests.push(args[0]);
    return super.reload(...args);
  }
}

suite("reload", () => {
  test("the machine's own file", async (t) => {
    const machine = new Asked();
    const { config } = await serve(t, {}, machine);
    const { status, stdout, stderr } = await guidewayAside("reload", "-s", config.socket);
    assert.deepEqual([status, stderr], [0, ""]);
    assert.equal(
      stdout,
      "generation 2 is in force\n\nVIP  CHANGE   SLOTS MOVED\nweb  changed        50.0%\n",
    );
    assert.deepEqual(machine.requests, [{}]);
    const { by, user } = machine.entries.at(-1)!;
    assert.deepEqual([by, typeof user], ["command", "string"]);
  });

  test("another text, by force, as JSON, over TCP", async (t) => {
    const machine = new Asked();
    const folder = folderFor(t);
    const [token, next] = [join(folder, "token"), join(folder, "next.yaml")];
    writeFileSync(token, "correct-horse-battery-staple\n", { mode: 0o600 });
    writeFileSync(next, CONFIG);
    const { server } = await serve(t, { listen: ANY_PORT, token: { file: token } }, machine);
    const to = ["--url", server.url!, "--token-file", token];
    const { status, stdout } = await guidewayAside("reload", "--config", next, "--force", "--json", ...to);
    assert.equal(status, 0);
    assert.deepEqual(JSON.parse(stdout), {
      outcome: "applied",
      generation: 2,
      warnings: [],
      vips: [{ name: "web", change: "changed", slotsMoved: 0.5 }],
    });
    assert.deepEqual(machine.requests, [{ text: CONFIG, file: next, force: true }]);
  });

  test("unchanged, and warnings", async (t) => {
    const machine = new MemoryMachine();
    machine.reload = async () => ({
      outcome: "unchanged",
      generation: 1,
      warnings: ["c.yaml:3:1: pools.spare: no VIP uses this pool"],
      vips: [],
    });
    const { config } = await serve(t, {}, machine);
    const { stdout } = await guidewayAside("reload", "-s", config.socket);
    assert.equal(
      stdout,
      "nothing differs from what is in force\nwarning: c.yaml:3:1: pools.spare: no VIP uses this pool\n",
    );
  });

  test("errors of the text, with 2: each with its place", async (t) => {
    const { config } = await serve(t);
    const next = join(folderFor(t), "next.yaml");
    writeFileSync(next, "pools: 5\nvips: []\nvisp: []\n");
    const { status, stdout, stderr } = await guidewayAside("reload", "-c", next, "-s", config.socket);
    assert.deepEqual([status, stdout], [2, ""]);
    assert.equal(
      stderr,
      `${next}:1:8: pools: 5 is a single value, expected a map of pools by name\n` +
        `${next}:3:1: visp: unknown key "visp", did you mean "vips"?\n`,
    );
  });

  for (const code of ["RESTART_NEEDED", "ROLLED_BACK"]) {
    test(`${code}, with 1 and its reason`, async (t) => {
      const machine = new MemoryMachine();
      machine.reload = async () => {
        throw new GuidewayError(code, "for a reason");
      };
      const { config } = await serve(t, {}, machine);
      const { status, stdout, stderr } = await guidewayAside("reload", "-s", config.socket, "--json");
      assert.deepEqual([status, stdout, stderr], [1, "", "for a reason\n"]);
    });
  }

  test("files that cannot be read, with 2; nobody there, with 1", async (t) => {
    const folder = folderFor(t);
    const { config, machine } = await serve(t);
    const latin = join(folder, "latin.yaml");
    writeFileSync(latin, Uint8Array.of(0x70, 0xfc, 0x0a));
    for (const [file, says] of [
      [join(folder, "none.yaml"), /none\.yaml: there is no such file/],
      [folder, /it is a directory/],
      [latin, /latin\.yaml: the file is not UTF-8/],
    ] as const) {
      const { status, stderr } = await guidewayAside("reload", "-c", file, "-s", config.socket);
      assert.equal(status, 2);
      assert.match(stderr, says);
    }
    assert.deepEqual(machine.entries, []);
    const nobody = await guidewayAside("reload", "-s", "/nowhere.sock");
    assert.equal(nobody.status, 1);
    assert.match(nobody.stderr, /no guideway answers/);
  });
});
