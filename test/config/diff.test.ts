import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { parse, stringify } from "yaml";
import { type ConfigChange, diffConfigs, requiresRestart } from "../../src/config/diff.ts";
import { parseConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";

const EXAMPLE = readFileSync(new URL("../../docs/example.yaml", import.meta.url), "utf8");
const example = parseConfig(EXAMPLE, "example.yaml").config;

// biome-ignore lint/suspicious/noExplicitAny: a document is edited in any place
type Document = any;

/** What changes when the example is edited. */
function edited(edit: (document: Document) => void): ConfigChange[] {
  const document = parse(EXAMPLE) as Document;
  edit(document);
  return diffConfigs(example, parseConfig(stringify(document), "edited.yaml").config);
}

suite("differences of configurations", () => {
  test("none between equal ones, however they are written", () => {
    assert.deepEqual(diffConfigs(example, example), []);
    const same = edited((document) => {
      document.pools.web.backends.reverse();
      document.vips.reverse();
      document.pools = Object.fromEntries(Object.entries(document.pools).reverse());
      document.hash.seed = String(document.hash.seed);
      document.conntrack.timeouts.new = "60000ms";
      document.pools.web.backends[2].weight = 1;
    });
    assert.deepEqual(same, []);
  });

  test("each one has a path by names, both values, and says that it is live", () => {
    const changes = edited((document) => {
      document.pools.web.backends[1].weight = 3;
      document.pools.web.backends.splice(2, 1);
      document.pools.resolver.backends.push({ address: "10.1.0.54", port: 53 });
      document.vips[0].port = [80];
      document.vips[2].forward = "l2";
      document.machine.name = "lb-2";
    });
    const web3 = { name: "web-3", address: "10.0.0.23", port: 80, weight: 1, mac: "02:00:00:00:00:23" };
    const added = { name: "10.1.0.54:53", address: "10.1.0.54", port: 53, weight: 1 };
    assert.deepEqual(changes, [
      { path: "machine.name", before: "lb-1", after: "lb-2", effect: "live" },
      { path: "pools.web.backends.web-2.weight", before: 2, after: 3, effect: "live" },
      { path: "pools.web.backends.web-3", before: web3, after: null, effect: "live" },
      { path: 'pools.resolver.backends["10.1.0.54:53"]', before: null, after: added, effect: "live" },
      { path: "vips.web.port", before: [80, 443], after: [80], effect: "live" },
      { path: "vips.resolver.forward", before: "gre", after: "l2", effect: "live" },
    ]);
    assert.equal(requiresRestart(changes), false);
  });

  const restarts: [path: string, edit: (document: Document) => void][] = [
    ["interfaces", (document) => document.interfaces.push("eth1")],
    ["frames.size", (document) => Object.assign(document.frames, { size: 4096 })],
    ["workers.max", (document) => Object.assign(document.workers, { max: 2 })],
    ["workers.batch", (document) => Object.assign(document.workers, { batch: 2 })],
    ["workers.cpus", (document) => document.workers.cpus.reverse()],
    ["workers.cpus", (document) => delete document.workers.cpus],
    ["conntrack.timeouts.udp", (document) => Object.assign(document.conntrack.timeouts, { udp: "40s" })],
    ["conntrack.flows", (document) => Object.assign(document.conntrack, { flows: 1 })],
    ["hash.seed", (document) => Object.assign(document.hash, { seed: "0xffffffffffffffff" })],
    ["machine.address", (document) => Object.assign(document.machine, { address: "10.0.0.12" })],
    ["machine.address6", (document) => Object.assign(document.machine, { address6: "fd00::12" })],
    ["machine.mac", (document) => Object.assign(document.machine, { mac: "02:00:00:00:00:01" })],
    ["admin.socket", (document) => Object.assign(document.admin, { socket: "/run/other.sock" })],
    ["admin.listen.port", (document) => Object.assign(document.admin, { listen: "127.0.0.1:9181" })],
    ["change.watch", (document) => Object.assign(document.change, { watch: false })],
    ["change.state", (document) => Object.assign(document.change, { state: "/srv/guideway" })],
  ];
  for (const [path, edit] of restarts) {
    test(`${path} needs a restart: ${edit.toString().slice(14)}`, () => {
      const changes = edited(edit);
      assert.deepEqual(
        changes.map(({ path, effect }) => ({ path, effect })),
        [{ path, effect: "restart" }],
      );
      assert.equal(requiresRestart(changes), true);
    });
  }

  test("whether admin.tls and its clientCa are there needs a restart, their files do not", () => {
    const listen = { host: "127.0.0.1", port: 9180 };
    const tls = { certificate: "/a.pem", key: "/a.key" };
    const effects = (before: object | undefined, after: object | undefined) => {
      const config = (tls: object | undefined) => ({ admin: { listen, tls } }) as unknown as Partial<Config>;
      return diffConfigs(config(before), config(after)).map(({ path, effect }) => [path, effect]);
    };
    assert.deepEqual(effects(undefined, tls), [["admin.tls", "restart"]]);
    assert.deepEqual(effects(tls, undefined), [["admin.tls", "restart"]]);
    assert.deepEqual(effects(tls, { ...tls, clientCa: "/ca.pem" }), [["admin.tls.clientCa", "restart"]]);
    assert.deepEqual(effects({ ...tls, clientCa: "/ca.pem" }, tls), [["admin.tls.clientCa", "restart"]]);
    const others = [
      { ...tls, clientCa: "/ca.pem" },
      { ...tls, certificate: "/b.pem", clientCa: "/cb.pem" },
    ];
    assert.deepEqual(effects(others[0], others[1]), [
      ["admin.tls.certificate", "live"],
      ["admin.tls.clientCa", "live"],
    ]);
  });

  test("all of it is JSON", () => {
    const changes = edited((document) => Object.assign(document.hash, { seed: 255 }));
    assert.deepEqual(JSON.parse(JSON.stringify(changes)), [
      { path: "hash.seed", before: "0x5ca1ab1e", after: "0xff", effect: "restart" },
    ]);
  });
});
