// Hashes of sampled flows against the plain model's.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { expandServices } from "../../src/config/services.ts";
import { FlowSample } from "../../src/plan/flow-sample.ts";
import { targetOf } from "../../src/plan/tables.ts";
import { addressBytes } from "../model/bytes.ts";
import { slotOf, tableHash } from "../model/flowkey.ts";
import { packet } from "../packets/packet.ts";
import { configured, numbered } from "./documents.ts";

const document = {
  hash: { seed: 5 },
  pools: { web: { tableSize: 251, backends: numbered(3) } },
  vips: [
    { name: "web", address: "10.99.0.1", protocol: "any", port: 80, pool: "web" },
    { name: "web6", address: "fd99::1", port: [80, 443], pool: "web" },
  ],
};
const old = configured(document);
const next = configured({ ...document, hash: { seed: 6 } });
const service = (address: string, protocol: number, port: number) =>
  expandServices(old).find(
    (each) => each.address === address && each.protocol === protocol && each.port === port,
  )!;
const port = (number: number) => Uint8Array.of(number >> 8, number & 255);

const tcp4 = packet().ethernet().vlan(5).ipv4({ src: "192.0.2.1", dst: "10.99.0.1" });
const udp6 = packet().ethernet().ipv6({ src: "2001:db8::9", dst: "fd99::1" });

suite("a sample of flows", () => {
  test("has each flow once, with the model's hashes under both seeds", () => {
    const sample = new FlowSample(old, next, "test");
    sample.add(tcp4.tcp({ sport: 4000, dport: 80, flags: "S" }).bytes());
    sample.add(tcp4.tcp({ sport: 4000, dport: 80, flags: "A" }).payload(100).bytes());
    sample.add(tcp4.udp({ sport: 4000, dport: 80 }).bytes());
    sample.add(udp6.tcp({ sport: 4000, dport: 443 }).bytes());
    assert.equal(sample.flows, 3);
    const hash = (seed: bigint, source: string, destination: string, protocol: number, dport: number) =>
      Number(
        tableHash(seed, {
          source: addressBytes(source),
          destination: addressBytes(destination),
          sourcePort: port(4000),
          destinationPort: port(dport),
          protocol,
        }),
      );
    for (const [source, destination, protocol, dport] of [
      ["192.0.2.1", "10.99.0.1", 6, 80],
      ["192.0.2.1", "10.99.0.1", 17, 80],
      ["2001:db8::9", "fd99::1", 6, 443],
    ] as const) {
      const hashes = {
        before: [hash(5n, source, destination, protocol, dport)],
        after: [hash(6n, source, destination, protocol, dport)],
      };
      assert.deepEqual([...sample.of(service(destination, protocol, dport))], [["web", hashes]]);
    }
  });

  test("leaves out what is no flow of a VIP", () => {
    const sample = new FlowSample(old, old, "test");
    const strangers = [
      tcp4.tcp({ dport: 81 }).bytes(),
      tcp4.icmp({}).bytes(),
      tcp4.tcp({ dport: 80 }).cut(40).bytes(),
      udp6.udp({ dport: 80 }).bytes(),
      packet().ethernet().ipv4({ src: "192.0.2.1", dst: "10.99.0.2" }).tcp({ dport: 80 }).bytes(),
      tcp4.tcp({ dport: 80 }).payload(4000).bytes(),
      new Uint8Array(0),
    ];
    for (const each of strangers) sample.add(each);
    assert.equal(sample.flows, 0);
    for (const each of expandServices(old)) assert.equal(sample.of(each).size, 0);
  });

  test("that is generated is the same every time, and even over a VIP's services", () => {
    const [one, two] = [FlowSample.generate(old, old), FlowSample.generate(old, old)];
    assert.equal(one.flows, 200_000);
    for (const each of expandServices(old)) {
      assert.equal(one.of(each).get("web")?.before.length ?? 0, each.port === 0 ? 0 : 50_000);
      assert.deepEqual(one.of(each), two.of(each));
    }
  });
});

test("a slot is the engine's own, for every size", () => {
  const hashes = [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 0xdeadbeef, 0xffff0000, 0x0000ffff];
  for (const size of [2, 251, 65_537, 16_777_213]) {
    // Slots that name themselves as far as 16 bits go.
    const slots = Uint16Array.from({ length: size }, (_, i) => i & 0xffff);
    const targets = Array.from({ length: 65_536 }, (_, i) => ({ name: `${i}`, address: "" }));
    const random = Array.from({ length: 2000 }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) ^ (i << 7)) >>> 0);
    for (const hash of [...hashes, ...random])
      assert.equal(
        targetOf({ slots, counts: new Float64Array(0), targets }, hash)!.name,
        `${slotOf(BigInt(hash), size) & 0xffff}`,
      );
  }
});
