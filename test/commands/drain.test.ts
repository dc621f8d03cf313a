// `guideway drain` and `guideway undrain` against a server: who is meant, what is waited for, how it ends.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { CHECKED, CONFIG, MemoryMachine } from "../admin/machine.ts";
import { ANY_PORT, folderFor, serve } from "../admin/serve.ts";
import { guidewayAside } from "./guideway.ts";

/** Two pools have a backend web-1, and one has a name with a slash. */
const TWINS = CONFIG.replace(
  "spare: { tableSize: 251, backends: [] }",
  "spare: { tableSize: 251, backends: [{ name: web-1, address: 10.0.0.31 }, { name: web/web-1, address: 10.0.0.32 }] }",
);

suite("drain and undrain", () => {
  test("without a wait: at once, with what is left", async (t) => {
    const { config, machine } = await serve(t);
    machine.flows.set("web-1", [7]);
    const { status, stdout, stderr } = await guidewayAside("drain", "web-1", "-s", config.socket);
    assert.deepEqual([status, stdout, stderr], [0, "web/web-1 gets no new flows; 7 are active\n", ""]);
    assert.equal(machine.engine.directory.backend("web", "web-1").state, "draining");
    const { by, user, action, target } = machine.entries.at(-1)!;
    assert.deepEqual([by, action, target], ["command", "draining", "web/web-1"]);
    assert.ok(user);
    const back = await guidewayAside("undrain", "web/web-1", "-s", config.socket);
    assert.deepEqual([back.status, back.stdout], [0, "web/web-1 gets new flows again\n"]);
    assert.equal(machine.engine.directory.backend("web", "web-1").state, "active");
  });

  test("--timeout: waits until the last flow has ended", async (t) => {
    const { config, machine } = await serve(t);
    machine.flows.set("web-1", [3, 3, 1, 0]);
    const args = ["drain", "web-1", "--timeout", "20s", "--socket", config.socket];
    // The first look is for the backend's name.
    const { status, stdout, stderr } = await guidewayAside(...args);
    assert.deepEqual([status, stdout], [0, "web/web-1 is drained: no flow is active\n"]);
    assert.equal(stderr, "web/web-1: 3 flows are active\nweb/web-1: 1 flows are active\n");
  });

  test("--timeout: reached, 1, and it goes on draining", async (t) => {
    const { config, machine } = await serve(t);
    machine.flows.set("web-1", [5]);
    const args = ["drain", "web-1", "--timeout", "600ms", "--socket", config.socket];
    const startMs = performance.now();
    const { status, stdout, stderr } = await guidewayAside(...args);
    assert.ok(performance.now() - startMs >= 600);
    assert.deepEqual([status, stdout], [1, ""]);
    assert.match(
      stderr,
      /\nweb\/web-1 still has 5 active flows after 0\.6 s: it goes on draining; wait longer, or stop the backend/,
    );
    assert.equal(machine.engine.directory.backend("web", "web-1").state, "draining");
  });

  test("a backend that is down is not said to get flows again", async (t) => {
    const { config, machine } = await serve(t);
    machine.checked.set("web-1", { ...CHECKED, state: "down", reason: "timeout after 1000 ms" });
    machine.setBackendState = async (pool, name) => {
      machine.engine.directory.setBackendState(machine.engine.directory.backend(pool, name).id, "dead");
    };
    const { stdout } = await guidewayAside("undrain", "web-1", "-s", config.socket);
    assert.equal(stdout, "web/web-1 is not drained any more, but down: timeout after 1000 ms\n");
  });

  test("the last one of its pool only with --force", async (t) => {
    const { config, machine } = await serve(t);
    machine.last = "web-1";
    const drain = (...args: string[]) => guidewayAside("drain", "web-1", "-s", config.socket, ...args);
    const refused = await drain();
    assert.deepEqual(
      [refused.status, refused.stdout, refused.stderr],
      [1, "", "web-1 is the last backend\n"],
    );
    assert.equal(machine.engine.directory.backend("web", "web-1").state, "active");
    assert.equal((await drain("--force")).status, 0);
    assert.equal(machine.engine.directory.backend("web", "web-1").state, "draining");
  });

  test("over TCP with the token", async (t) => {
    const file = join(folderFor(t), "token");
    writeFileSync(file, "correct-horse-battery-staple\n", { mode: 0o600 });
    const { server, machine } = await serve(t, { listen: ANY_PORT, token: { file } });
    const to = ["--url", server.url!, "--token-file", file];
    assert.equal((await guidewayAside("drain", "web-1", "--timeout", "5s", ...to)).status, 0);
    assert.equal(machine.engine.directory.backend("web", "web-1").state, "draining");
    const without = await guidewayAside("undrain", "web-1", "--url", server.url!);
    assert.equal(without.status, 1);
    assert.match(without.stderr, /Authorization: Bearer/);
    assert.equal(machine.engine.directory.backend("web", "web-1").state, "draining");
  });

  test("names in several pools: named in full", async (t) => {
    const { config, machine } = await serve(t, {}, new MemoryMachine(TWINS));
    const ambiguous = await guidewayAside("drain", "web-1", "-s", config.socket);
    assert.equal(ambiguous.status, 2);
    assert.equal(ambiguous.stderr, '"web-1" may be web/web-1, spare/web-1: name the pool, too\n');
    const state = (pool: string, name: string) => machine.engine.directory.backend(pool, name).state;
    assert.equal((await guidewayAside("drain", "spare/web-1", "-s", config.socket)).status, 0);
    assert.deepEqual([state("spare", "web-1"), state("web", "web-1")], ["draining", "active"]);
    // In full it is the one in pool web, though there is a backend of this name.
    assert.equal((await guidewayAside("drain", "web/web-1", "-s", config.socket)).status, 0);
    assert.deepEqual([state("web", "web-1"), state("spare", "web/web-1")], ["draining", "active"]);
    assert.equal((await guidewayAside("drain", "spare/web/web-1", "-s", config.socket)).status, 0);
    assert.equal(state("spare", "web/web-1"), "draining");
  });

  test("refused: unknown backends, odd durations, nobody there", async (t) => {
    const { config, machine } = await serve(t);
    const unknown = await guidewayAside("drain", "web-3", "-s", config.socket);
    assert.deepEqual([unknown.status, unknown.stdout], [2, ""]);
    assert.equal(unknown.stderr, 'there is no backend "web-3"; there are web/web-1, web/web-2\n');
    const duration = await guidewayAside("drain", "web-1", "--timeout", "soon", "-s", config.socket);
    assert.equal(duration.status, 2);
    assert.match(duration.stderr, /expected a duration such as 30s or 5m/);
    const nobody = await guidewayAside("drain", "web-1", "-s", "/nowhere.sock");
    assert.equal(nobody.status, 1);
    assert.match(nobody.stderr, /no guideway answers on \/nowhere\.sock .*guideway run/);
    assert.equal((await guidewayAside("undrain")).status, 2);
    assert.deepEqual(machine.entries, []);
  });
});
