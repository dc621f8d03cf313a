import assert from "node:assert/strict";
import { test } from "node:test";
import { LabError } from "../../src/lab/errors.ts";
import { addressedObject } from "../../src/lab/object.ts";
import { linkBatch, nodeScript, vipRouteBatch } from "../../src/lab/script.ts";
import {
  interfacesOf,
  labTopology,
  MAX_BACKENDS,
  MAX_BALANCERS,
  parseNamespace,
  type TopologyOptions,
  vipPrefix,
} from "../../src/lab/topology.ts";

const names = (options: Partial<TopologyOptions> = {}) =>
  labTopology({ prefix: "gw1", ...options }).nodes.map((node) => node.namespace);

test("the default lab is one balancer and four backends behind a router", () => {
  const topology = labTopology({ prefix: "gw1" });
  assert.deepEqual(
    names(),
    ["client", "router", "lb1", "be1", "be2", "be3", "be4"].map((name) => `gw1-${name}`),
  );
  assert.deepEqual(interfacesOf(topology, "lb1"), [
    { node: "lb1", device: "eth0", mac: "02:00:00:00:00:11", addresses: ["10.0.0.11/24", "fd00::11/64"] },
  ]);
  assert.deepEqual(interfacesOf(topology, "be4"), [
    { node: "be4", device: "eth0", mac: "02:00:00:00:00:24", addresses: ["10.0.0.24/24", "fd00::24/64"] },
  ]);
  const router = interfacesOf(topology, "router");
  assert.deepEqual(router[0]!.addresses, ["10.0.1.1/24", "fd00:1::1/64"]);
  assert.deepEqual(
    router.map(({ device, bridge, xdp }) => [device, bridge, xdp]),
    [
      ["p-client", undefined, undefined],
      ["p-lb1", "br0", "pass"],
      ...[1, 2, 3, 4].map((number) => [`p-be${number}`, "br0", undefined]),
    ],
  );
  assert.deepEqual(topology.nodes.at(-1)!.loopback, ["10.99.0.1/32", "fd99::1/128"]);
});

for (const forward of ["gre", "ipip", "gue"] as const) {
  test(`backends of a ${forward} lab decapsulate, and leave 52 bytes of room in every segment`, () => {
    const topology = labTopology({ prefix: "gw1", forward, backends: 1 });
    assert.equal(interfacesOf(topology, "be1")[0]!.xdp, "decap");
    assert.deepEqual(
      topology.nodes.at(-1)!.routes.map((route) => route.advmss),
      [1408, 1388],
    );
  });
}

test("with two arms the backends are on the second segment", () => {
  const topology = labTopology({ prefix: "gw1", arms: 2, backends: 1 });
  assert.deepEqual(
    interfacesOf(topology, "lb1").map(({ device, addresses }) => [device, addresses[0]]),
    [
      ["eth0", "10.0.0.11/24"],
      ["eth1", "10.0.2.11/24"],
    ],
  );
  assert.deepEqual(interfacesOf(topology, "be1")[0]!.addresses, ["10.0.2.21/24", "fd00:2::21/64"]);
  assert.equal(topology.nodes.at(-1)!.routes[0]!.via, "10.0.2.1");
});

test("the largest lab has unique addresses, and interface names fit the kernel's 15 characters", () => {
  const topology = labTopology({ prefix: "gw1", balancers: MAX_BALANCERS, backends: MAX_BACKENDS, arms: 2 });
  const ends = topology.links.flatMap((link) => link.ends);
  for (const end of ends) assert.ok(end.device.length <= 15, end.device);
  const unique = (values: string[]) => assert.equal(new Set(values).size, values.length);
  unique(ends.flatMap((end) => end.addresses));
  unique([...ends, ...topology.bridges].map((end) => end.mac));
  unique(ends.map((end) => `${end.node} ${end.device}`));
});

for (const [what, options] of Object.entries<Partial<TopologyOptions>>({
  "an empty prefix": { prefix: "" },
  "a prefix with a dash": { prefix: "a-b" },
  "a prefix of 9 characters": { prefix: "abcdefghi" },
  "a prefix that starts with a digit": { prefix: "1a" },
  "a prefix with a path": { prefix: "../x" },
  "10 balancers": { balancers: 10 },
  "half a backend": { backends: 0.5 },
  "no queue": { queues: 0 },
  "an MTU that native XDP refuses": { mtu: 9000 },
  "a VIP that is no address": { vips: ["10.99.0.1; reboot"] },
  "a VIP with a zone": { vips: ["fe80::1%eth0"] },
  "a VIP with a long prefix": { vips: ["10.99.0.0/33"] },
  "an unknown way to forward": { forward: "sit" as "gre" },
})) {
  test(`${what} is refused`, () => {
    assert.throws(
      () => names(options),
      (error) => error instanceof LabError && error.code === "LAB_OPTION" && error.exitCode === 2,
    );
  });
}

test("only names that a lab gives are taken for a lab's namespaces", () => {
  assert.deepEqual(parseNamespace("gw1-be12"), { prefix: "gw1", node: "be12" });
  for (const name of [
    "gw1",
    "gw1-",
    "gw1-other",
    "-be1",
    "gw1-be",
    "gw1-be0",
    "gw1-be1-x",
    "GW-be1",
    "gw1-lb10",
  ]) {
    assert.equal(parseNamespace(name), undefined, name);
  }
});

test("a VIP may be a prefix, which is local as a whole", () => {
  assert.equal(vipPrefix("fd99::1"), "fd99::1/128");
  const topology = labTopology({
    prefix: "gw1",
    backends: 1,
    vips: ["10.99.0.0/24", "fd99::/64", "10.98.0.1"],
  });
  const script = nodeScript(topology, topology.nodes.at(-1)!, "x.o").split("\n");
  assert.ok(script.includes("route add local 10.99.0.0/24 dev lo"));
  assert.ok(script.includes("route add local fd99::/64 dev lo"));
  assert.ok(script.includes("address add 10.98.0.1/32 dev lo"));
});

test("no link is ever made in the host's namespace", () => {
  const topology = labTopology({ prefix: "gw1", balancers: 2, arms: 2 });
  for (const line of linkBatch(topology).trim().split("\n")) {
    const inside = line.match(/netns gw1-/g)?.length;
    assert.equal(inside, line.includes("type veth") ? 2 : 1, line);
  }
});

test("VIP routes take the next hops of their own family, and without any are unreachable", () => {
  assert.equal(
    vipRouteBatch(["10.99.0.1/32", "fd99::1/128"], ["10.0.0.11", "fd00::11", "10.0.0.12"]),
    "route replace 10.99.0.1/32 nexthop via 10.0.0.11 nexthop via 10.0.0.12\n" +
      "route replace fd99::1/128 nexthop via fd00::11\n",
  );
  assert.equal(vipRouteBatch(["10.99.0.1/32"], []), "route replace unreachable 10.99.0.1/32\n");
});

test("the addresses of a backend go behind the marker of the XDP object", () => {
  const object = Buffer.concat([Buffer.from("ELF guideway-decap-1"), Buffer.alloc(20), Buffer.from("rest")]);
  const own = addressedObject(object, "10.0.0.21", "fd00::21");
  const v6 = Buffer.concat([Buffer.from("fd00", "hex"), Buffer.alloc(13), Buffer.from("21", "hex")]);
  const expected = [
    Buffer.from("ELF guideway-decap-1"),
    Buffer.from([10, 0, 0, 21]),
    v6,
    Buffer.from("rest"),
  ];
  assert.deepEqual(own, Buffer.concat(expected));
  assert.equal(object[20], 0, "the original is untouched");
  assert.throws(() => addressedObject(Buffer.from("ELF"), "10.0.0.21", "fd00::21"));
});
