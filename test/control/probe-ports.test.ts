// Source ports of checks through the data plane, and what the workers know of them.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as L from "../../assembly/layout.ts";
import { ProbePorts } from "../../src/control/probe-ports.ts";
import { anyConfig, Rig } from "../engine/rig.ts";

function portsOf(config: object): { ports: ProbePorts; named: () => Record<number, number> } {
  const { engine } = new Rig(config);
  const table = engine.arena.plan.regions.probes.offset / L.PROBE_BYTES;
  const entries = () => Array.from(engine.arena.u16.subarray(table, table + L.PROBES)).entries();
  return {
    ports: new ProbePorts(engine),
    named: () => Object.fromEntries([...entries()].filter(([, id]) => id)),
  };
}

const few = { forwarder: { probe: { firstPort: 30_000, ports: 3 } } };

test("each backend has a port of its own, the same every time", () => {
  const { ports, named } = portsOf(anyConfig());
  const first = ports.portOf("near", "b1");
  assert.deepEqual(first, {
    localAddress: "10.0.0.11",
    localPort: 20_000,
    vip: { name: "web", address: "10.99.0.1", port: 80 },
  });
  assert.equal(ports.portOf("near", "b2").localPort, 20_001);
  assert.equal(ports.portOf("far", "b3").localPort, 20_002, "backends of other pools are others");
  assert.deepEqual(ports.portOf("near", "b1"), first);
  assert.deepEqual(named(), { 20000: 1, 20001: 2, 20002: 5 });
});

test("the VIP is one of the pool with the port and the protocol that are asked for", () => {
  const { ports } = portsOf(anyConfig());
  assert.equal(ports.portOf("near", "b1", { port: 443 }).vip.port, 443);
  assert.equal(ports.portOf("far", "b5", { protocol: "udp" }).vip.name, "tunnel");
  assert.throws(() => ports.portOf("far", "b3", { port: 22 }), {
    code: "PROBE_PORT",
    message: /pools\.far: no VIP of the pool has tcp port 22/,
  });
});

test("of a prefix and a range there is one address and one port", () => {
  const config = anyConfig() as { vips: Record<string, unknown>[] };
  const [web, ...others] = config.vips;
  const { ports } = portsOf({
    ...config,
    vips: [{ ...web, address: "10.98.0.0/16", port: "8000-8099" }, ...others],
  });
  assert.deepEqual(ports.portOf("near", "b1").vip, { name: "web", address: "10.98.0.1", port: 8000 });
  assert.equal(ports.portOf("near", "b1", { port: 8099 }).vip.port, 8099);
});

test("a VIP of the other family does where the machine has no address of the first one's", () => {
  const four = portsOf(without("fd00::11"));
  assert.equal(four.ports.portOf("near", "b1").vip.name, "web");
  const six = portsOf(without("10.0.0.11"));
  assert.deepEqual(six.ports.portOf("near", "b1").vip.name, "web6");
  assert.equal(six.ports.portOf("near", "b1").localAddress, "fd00::11");
});

/** All is forwarded on layer 2, and the machine has one address less. */
function without(address: string): object {
  const config = anyConfig() as { machine: Record<string, string>; vips: Record<string, unknown>[] };
  const machine = Object.fromEntries(Object.entries(config.machine).filter(([, value]) => value !== address));
  return { ...config, machine, vips: config.vips.map(({ forward: _, ...vip }) => vip) };
}

test("without an address of its own there is no way, and the message says what is missing", () => {
  const { ports } = portsOf({ ...without("10.0.0.11"), machine: {} });
  assert.throws(() => ports.portOf("near", "b1"), { code: "PROBE_PORT", message: /need machine\.address,/ });
});

test("ports that are given back are used again, and drop what still comes until then", () => {
  const { ports, named } = portsOf(anyConfig(few));
  for (const backend of ["b1", "b2", "b3"]) ports.portOf("near", backend);
  assert.throws(() => ports.portOf("near", "b4"), {
    code: "PROBE_PORT",
    message: /all 3 source ports are taken/,
  });
  ports.release(2);
  ports.release(2);
  ports.release(99);
  assert.deepEqual(named(), { 30000: 1, 30002: 3 });
  assert.equal(ports.portOf("near", "b4").localPort, 30_001);
  assert.deepEqual(named(), { 30000: 1, 30001: 4, 30002: 3 });
});

test("backends and pools that are not there are said to be unknown", () => {
  const { ports } = portsOf(anyConfig());
  assert.throws(() => ports.portOf("near", "b9"), {
    code: "UNKNOWN",
    message: /no backend "b9" in pool "near"/,
  });
  assert.throws(() => ports.portOf("nowhere", "b1"), { code: "UNKNOWN" });
});
