// `guideway status` against a server, by all of its ways in.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import type { Overview } from "../../src/control/overview.ts";
import { CHECKED, FORWARDER, MemoryMachine } from "../admin/machine.ts";
import { ANY_PORT, folderFor, serve } from "../admin/serve.ts";
import { guidewayAside } from "./guideway.ts";

const status = (...args: string[]) => guidewayAside("status", ...args);

suite("status", () => {
  test("by the socket: text and JSON", async (t) => {
    const { config } = await serve(t);
    const text = await status("--socket", config.socket);
    assert.equal(text.status, 0, text.stderr);
    assert.match(text.stdout, /^lb-1: pid \d+/);
    assert.match(text.stdout, /^web +web-2 +active +up +unresolved +3 +7\d\.\d/m);
    const json = JSON.parse((await status("-s", config.socket, "--json")).stdout);
    assert.deepEqual(
      json.vips.map(({ name }: { name: string }) => name),
      ["web", "dns"],
    );
  });

  test("what is wrong is at the top, line by line", async (t) => {
    const machine = new MemoryMachine();
    machine.refused = {
      at: "2026-11-24T12:00:00.000Z",
      file: "new.yaml",
      code: "CONFIG",
      message: "new.yaml:1:8: pools: 5 is a single value\nnew.yaml:2:1: visp: unknown key",
    };
    machine.announcing = {
      ...machine.announcing,
      connected: false,
      error: "cannot reach 127.0.0.1:50051",
      peers: [{ address: "10.0.0.1", asn: 65000, state: "active" }],
    };
    const { config } = await serve(t, {}, machine);
    const { stdout } = await status("--socket", config.socket);
    const [head] = stdout.split("\n\n");
    assert.deepEqual(head!.split("\n").slice(1), [
      "forwarder: NOT HEALTHY since 2026-11-24T12:00:00.000Z",
      "  worker 1: its loop has stood still for 500 ms",
      "  degraded: eth0: 100 packets found an RX ring full, in 1000 ms",
      "configuration: c.yaml, generation 1 since 1970-01-01T00:00:00.000Z",
      "  LAST CHANGE REFUSED at 2026-11-24T12:00:00.000Z (CONFIG):",
      "  new.yaml:1:8: pools: 5 is a single value",
      "  new.yaml:2:1: visp: unknown key",
      "announcement: gobgp, NOT CONNECTED, announced: 10.99.0.1/32",
      "  NOT ANNOUNCED YET: 10.99.0.2/32",
      "  cannot reach 127.0.0.1:50051",
      "  peer 10.0.0.1 (AS 65000): ACTIVE",
      "CANNOT BE WRITTEN: last-good.yaml (ENOSPC: no space left on device)",
    ]);
    assert.match(stdout, /^VIP +SERVICE +POOL +FORWARD +USABLE +ANNOUNCED/m);
    assert.match(stdout, /^web +10\.99\.0\.1 tcp 80 +web +l2 +yes +yes/m);
    assert.match(stdout, /^dns +10\.99\.0\.2 udp 53 +web +l2 +yes +NO/m);
  });

  test("all is well: nothing is in capitals but headings", async (t) => {
    const machine = new MemoryMachine();
    machine.forwarderStatus = { ...FORWARDER, healthy: true, reasons: [], degraded: [] };
    machine.announcing = {
      ...machine.announcing,
      kind: "none",
      announced: [],
      wanted: [],
      peers: [],
    };
    const { config } = await serve(t, {}, machine);
    const { stdout } = await status("--socket", config.socket);
    assert.match(
      stdout,
      /^forwarder: healthy since .*\nconfiguration: .*\nannouncement: none is configured$/m,
    );
    assert.match(stdout, /^web +10\.99\.0\.1 tcp 80 +web +l2 +yes +- /m);
  });

  test("a VIP that is draining says so, and is announced still", async (t) => {
    const machine = new MemoryMachine();
    machine.draining = true;
    const { config } = await serve(t, {}, machine);
    assert.match(
      (await status("--socket", config.socket)).stdout,
      /^web +10\.99\.0\.1 tcp 80 +web +l2 +DRAINING +yes /m,
    );
  });

  const rows: [what: string, change: (machine: MemoryMachine) => void, row: RegExp][] = [
    [
      "down, and why",
      (machine) => {
        machine.checked.set("web-1", { ...CHECKED, state: "down", reason: "connect ECONNREFUSED" });
        machine.engine.directory.setBackendState(1, "dead");
      },
      /^web +web-1 +dead +down: connect ECONNREFUSED +02:/m,
    ],
    [
      "down while it was drained",
      (machine) => {
        machine.checked.set("web-1", { ...CHECKED, state: "down", flapping: true, reason: "timeout" });
        machine.asked.set("web/web-1", "draining");
        machine.engine.directory.setBackendState(1, "dead");
      },
      /^web +web-1 +dead \(asked: draining\) +down, flapping: timeout +02:/m,
    ],
    [
      "drained",
      (machine) => {
        machine.asked.set("web/web-1", "draining");
        machine.engine.directory.setBackendState(1, "draining");
      },
      /^web +web-1 +draining +up +02:/m,
    ],
    [
      "taken out",
      (machine) => {
        machine.asked.set("web/web-1", "dead");
        machine.engine.directory.setBackendState(1, "dead");
      },
      /^web +web-1 +dead \(asked for\) +up +02:/m,
    ],
  ];
  for (const [what, change, row] of rows) {
    test(`a backend that is ${what}`, async (t) => {
      const machine = new MemoryMachine();
      change(machine);
      const { config } = await serve(t, {}, machine);
      assert.match((await status("--socket", config.socket)).stdout, row);
      const json: Overview = JSON.parse((await status("--socket", config.socket, "--json")).stdout);
      assert.equal(json.pools[0]!.backends[0]!.asked, machine.asked.get("web/web-1") ?? "active");
    });
  }

  test("over TCP, with and without the token", async (t) => {
    const file = join(folderFor(t), "token");
    writeFileSync(file, "correct-horse-battery-staple\n", { mode: 0o600 });
    const { server } = await serve(t, { listen: ANY_PORT, token: { file } });
    const url = server.url!;
    const shown = await status("--url", url, "--token-file", file, "--json");
    assert.equal(shown.status, 0, shown.stderr);
    assert.equal(JSON.parse(shown.stdout).machine, "lb-1");
    const without = await status("--url", url);
    assert.deepEqual([without.status, without.stdout], [1, ""]);
    assert.match(without.stderr, /Authorization: Bearer/);
  });

  for (const [what, args, code, message] of [
    [
      "nobody there",
      ["--socket", "/nowhere.sock"],
      1,
      /no guideway answers on \/nowhere\.sock .*guideway run/,
    ],
    [
      "nobody at the URL",
      ["--url", "http://127.0.0.1:1"],
      1,
      /no guideway answers on http:\/\/127\.0\.0\.1:1 /,
    ],
    ["no URL", ["--url", "lb-1"], 2, /--url "lb-1" is not valid, expected http/],
    ["two places", ["--url", "http://h:1", "--socket", "/s"], 2, /cannot be used with/],
    ["a token for the socket", ["--token-file", "/t"], 2, /for --url/],
    [
      "no such token file",
      ["--url", "http://127.0.0.1:1", "--token-file", "/none"],
      1,
      /--token-file: \/none .*ENOENT/,
    ],
  ] as const) {
    test(`refused: ${what}`, async () => {
      const ended = await status(...args);
      assert.equal(ended.status, code, ended.stderr);
      assert.match(ended.stderr, message);
      assert.doesNotMatch(ended.stderr, /^ +at /m, "a stack");
    });
  }
});
