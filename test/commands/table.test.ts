import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { stringify } from "yaml";
import type { VipTable } from "../../src/explain/table.ts";
import { guideway } from "./guideway.ts";

const directory = mkdtempSync(join(tmpdir(), "guideway-table-"));
after(() => rmSync(directory, { recursive: true }));

interface Backend {
  name?: string;
  address: string;
  port?: number;
  weight?: number;
}

/** Runs `guideway table` on a pool called web behind VIPs called web and web-alt. */
function table(pool: { tableSize?: number; backends: Backend[] }, ...options: string[]) {
  const file = join(directory, "lb.yaml");
  const vip = { address: "10.99.0.1", pool: "web" };
  const vips = [
    { name: "web", port: 80, ...vip },
    { name: "web-alt", port: 8080, ...vip },
  ];
  writeFileSync(file, stringify({ pools: { web: pool }, vips }));
  return guideway(["table", "--config", file, ...options]);
}

function tableJson(...args: Parameters<typeof table>): VipTable {
  const { status, stdout, stderr } = table(...args, "--vip", "web", "--json");
  assert.equal(stderr, "");
  assert.equal(status, 0);
  return JSON.parse(stdout) as VipTable;
}

/** The digest, once more: SHA-256 over the size and the names, each followed by a newline. */
function digestOf({ size, entries }: VipTable): string {
  return createHash("sha256")
    .update([size, ...entries].map((line) => `${line}\n`).join(""))
    .digest("hex");
}

const numbered = (count: number): Backend[] =>
  Array.from({ length: count }, (_, i) => ({ name: `backend-${i}`, address: `10.1.${i >> 8}.${i & 255}` }));

suite("guideway table", () => {
  test("Envoy's published table: 7 slots, 127.0.0.1:90 to :95", () => {
    const keys = [90, 91, 92, 93, 94, 95].map((port) => `127.0.0.1:${port}`);
    const backends = keys.map((name, i) => ({ name, address: `10.0.0.${20 + i}` }));
    const found = tableJson({ tableSize: 7, backends });
    assert.deepEqual(
      found.entries.map((name) => keys.indexOf(name)),
      [2, 4, 0, 1, 5, 0, 3],
    );
    assert.equal(found.vip, "web");
    assert.equal(found.size, 7);
    assert.equal(found.digest, digestOf(found));
    assert.deepEqual(Object.keys(found), ["vip", "size", "digest", "entries"]);
  });

  test("the key of a backend without a name is its address and port", () => {
    const backends = [90, 91, 92, 93].map((port) => ({ address: "10.0.0.1", port }));
    const named = backends.map((each) => ({ ...each, name: `10.0.0.1:${each.port}` }));
    const found = tableJson({ tableSize: 251, backends });
    assert.deepEqual(found, tableJson({ tableSize: 251, backends: named }));
    assert.deepEqual(
      [...new Set(found.entries)].sort(),
      named.map(({ name }) => name),
    );
  });

  test("1,000 backends have 65,537 slots, shared as evenly as can be", () => {
    const found = tableJson({ backends: numbered(1000) });
    assert.equal(found.size, 65537);
    assert.equal(found.entries.length, 65537);
    const counts = [...Map.groupBy(found.entries, (name) => name).values()].map((slots) => slots.length);
    assert.equal(counts.length, 1000);
    assert.equal(Math.max(...counts) - Math.min(...counts), 1);
    assert.equal(found.digest, digestOf(found));
  });

  test("the order of the backends is of no consequence", () => {
    const backends = numbered(20);
    assert.deepEqual(tableJson({ backends }), tableJson({ backends: backends.toReversed() }));
  });

  test("no entries where no backend takes flows", () => {
    const found = tableJson({ tableSize: 7, backends: [{ address: "10.0.0.1", weight: 0 }] });
    assert.deepEqual(found.entries, []);
    assert.equal(found.size, 7);
    assert.equal(found.digest, digestOf(found));
    assert.match(table({ backends: [] }, "--vip", "web").stdout, /no backend takes flows/);
  });

  test("for people: shares, least, most and bars", () => {
    const backends = [
      { name: "a", address: "10.0.0.1" },
      { name: "b", address: "10.0.0.2", weight: 3 },
      { name: "c", address: "10.0.0.3", weight: 0 },
    ];
    const { status, stdout } = table({ tableSize: 251, backends }, "--vip", "web-alt");
    assert.equal(status, 0);
    assert.match(stdout, /^VIP web-alt, pool web: 251 slots\ndigest [0-9a-f]{64}\n/);
    assert.match(stdout, /least 63, most 188/);
    assert.match(stdout, /^a +1 +63 +25\.1% {2}█{10}▊$/m);
    assert.match(stdout, /^b +3 +188 +74\.9% {2}█{32}$/m);
    assert.match(stdout, /^c +0 +0 +0\.0%$/m);
  });

  test("a VIP that there is not", () => {
    const { status, stdout, stderr } = table({ backends: [] }, "--vip", "wbe");
    assert.equal(status, 2);
    assert.equal(stdout, "");
    assert.match(stderr, /lb\.yaml has no VIP "wbe", did you mean "web"\?\n$/);
    assert.match(
      table({ backends: [] }, "--vip", "dns").stderr,
      /has no VIP "dns", expected web or web-alt\n$/,
    );
  });

  test("errors of the configuration and of usage end with 2", () => {
    assert.equal(guideway(["table", "--config", join(directory, "none.yaml"), "--vip", "web"]).status, 2);
    assert.equal(table({ tableSize: 6, backends: [] }, "--vip", "web").status, 2);
    assert.equal(table({ backends: [] }).status, 2);
  });
});
