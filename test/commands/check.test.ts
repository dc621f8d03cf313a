import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Summary } from "../../src/config/summary.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "guideway-check-"));
const GOOD = `
machine: { address: 10.0.0.11 }
workers: { count: 2 }
interfaces: [no-such-dev]
pools:
  web:
    backends:
      - { name: web-1, address: 10.0.0.21, weight: 3 }
      - { name: web-2, address: 10.0.0.22, mac: "02:00:00:00:00:22" }
  spare: { backends: [] }
vips:
  - { name: web, address: 10.99.0.1, protocol: any, port: [80, 443], pool: web, forward: gre, tunnel: { ttl: 9 } }
`;

function check(text: string, ...options: string[]) {
  const file = join(directory, "lb.yaml");
  writeFileSync(file, text);
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [MAIN, "check", "--config", file, ...options],
    {
      encoding: "utf8",
    },
  );
  return {
    status,
    file,
    stdout: stdout.replaceAll(`${directory}/`, ""),
    stderr: stderr.replaceAll(`${directory}/`, ""),
  };
}

suite("guideway check", () => {
  after(() => rmSync(directory, { recursive: true }));

  test("prints what a configuration does", () => {
    const { status, stdout, stderr } = check(GOOD);
    assert.equal(stderr, "");
    assert.equal(status, 0);
    const text = stdout.replace(/^memory .*$/m, "memory …");
    assert.equal(
      text,
      `lb.yaml is valid, with 2 warnings

machine     guideway, 10.0.0.11
interfaces  no-such-dev (not on this machine)
workers     2, batches of 64
frames      auto of 2048 bytes
conntrack   1048576 flows, new 1m, established 15m, closing 30s, udp 30s
hash seed   0x5ca1ab1e
memory …

VIP  ADDRESS    SERVICES               POOL  FORWARD     PING
web  10.99.0.1  tcp 80,443 udp 80,443  web   gre, TTL 9  answered

pool web for web: maglev, 65537 slots
  ID  BACKEND  ADDRESS    PORT  WEIGHT  SHARE  MAC
  1   web-1    10.0.0.21  -     3       75.0%  resolved
  2   web-2    10.0.0.22  -     1       25.0%  02:00:00:00:00:22

pool spare for no VIP: maglev, 65537 slots, no backends

warning: lb.yaml:10:3: pools.spare: no VIP uses this pool: it has no effect
warning: lb.yaml:10:22: pools.spare.backends: the pool is empty: new flows are dropped (no-backend)
`,
    );
  });

  test("--json prints one object", () => {
    const { status, file, stdout, stderr } = check(GOOD, "--json");
    assert.equal(stderr, "");
    assert.equal(status, 0);
    const summary = JSON.parse(stdout) as Summary;
    assert.equal(summary.ok, true);
    assert.equal(join(directory, summary.file), file);
    assert.deepEqual(summary.errors, []);
    assert.equal(summary.warnings.length, 2);
    assert.deepEqual(summary.hash, { seed: "0x5ca1ab1e" });
    assert.deepEqual(summary.vips, [
      {
        name: "web",
        address: "10.99.0.1",
        pool: "web",
        forward: "gre",
        ttl: 9,
        tooBig: "reply",
        echo: true,
        quic: { routeBy: "none" },
        services: [
          { number: 1, protocol: "echo", port: 0 },
          { number: 2, protocol: "tcp", port: 80 },
          { number: 3, protocol: "tcp", port: 443 },
          { number: 4, protocol: "udp", port: 80 },
          { number: 5, protocol: "udp", port: 443 },
        ],
      },
    ]);
    assert.deepEqual(summary.pools[0], {
      name: "web",
      algorithm: "maglev",
      tableSize: 65537,
      whenEmpty: "withdraw",
      vips: ["web"],
      backends: [
        { id: 1, name: "web-1", address: "10.0.0.21", weight: 3, share: 0.75 },
        { id: 2, name: "web-2", address: "10.0.0.22", weight: 1, mac: "02:00:00:00:00:22", share: 0.25 },
      ],
    });
    const { bytes, queues, workers, regions } = summary.memory!;
    assert.deepEqual({ queues, workers }, { queues: 1, workers: 2 });
    assert.ok(bytes >= Object.values(regions).reduce((sum, part) => sum + part, 0));
  });

  test("errors go to stderr with exit code 2, and with --json to stdout as well", () => {
    const bad = "pools: {}\nvips: []\nadmn: {}\n";
    const line = 'lb.yaml:3:1: admn: unknown key "admn", did you mean "admin"?\n';
    const plain = check(bad);
    assert.deepEqual([plain.status, plain.stdout, plain.stderr], [2, "", line]);
    const json = check(bad, "--json");
    assert.deepEqual([json.status, json.stderr], [2, line]);
    assert.deepEqual(JSON.parse(json.stdout), {
      ok: false,
      file: "lb.yaml",
      vips: [],
      pools: [],
      warnings: [],
      notes: [],
      errors: [
        {
          file: "lb.yaml",
          line: 3,
          column: 1,
          path: "admn",
          message: 'unknown key "admn", did you mean "admin"?',
        },
      ],
    });
  });

  test("nat needs the network's help, and that is said", () => {
    const translated = GOOD.replace("forward: gre", "forward: nat");
    const { status, stdout } = check(translated);
    assert.equal(status, 0);
    assert.match(
      stdout,
      /^note: forward: nat \(web\): backends must send their answers through this machine/m,
    );
    assert.equal((JSON.parse(check(translated, "--json").stdout) as Summary).notes.length, 1);
    assert.deepEqual((JSON.parse(check(GOOD, "--json").stdout) as Summary).notes, []);
  });

  test("more memory than WebAssembly can address is an error of the configuration", () => {
    const { status, stdout, stderr } = check(
      `${GOOD}frames: { count: 1048576 }\nconntrack: { flows: 134217728 }\n`,
      "--json",
    );
    assert.equal(status, 2);
    assert.match(stderr, /^lb\.yaml: the arena would take .* more than the 4 GiB/);
    assert.equal((JSON.parse(stdout) as Summary).errors.length, 1);
  });
});
