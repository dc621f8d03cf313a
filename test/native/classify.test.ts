// The XDP program against the plain model, by BPF_PROG_TEST_RUN: no interface is involved.
import assert from "node:assert/strict";
import { test } from "node:test";
import { native } from "./addon.ts";
import { flowKey, shardOf } from "./filter-model.ts";
import { withoutRoot } from "./namespace.ts";
import {
  build,
  DESTINATION_MAC,
  ICMP,
  ICMPV6,
  IPV6,
  network,
  type Packet,
  TCP,
  UDP,
  VLAN,
} from "./packets.ts";
import { generator, randomPacket } from "./random.ts";
import {
  BACKEND_PORT,
  BACKENDS_V4,
  BACKENDS_V6,
  install,
  OWN_V4,
  OWN_V6,
  PORTS,
  PROBE_PORTS,
  SECRET,
  VIPS_V4,
  VIPS_V6,
} from "./services.ts";

const skip = withoutRoot || (native.hasProgram() ? false : "built without the XDP program");

const load = (): InstanceType<typeof native.XdpProgram> =>
  native.XdpProgram.load({ sockets: 1, services: 64, interfaces: 1 });

test("shard agrees with the model on 10,000 random packets", { skip }, () => {
  const program = load();
  const services = install(program);
  const below = generator(0x5eed);
  const seen = { ours: 0, passed: 0, shards: new Set<number>() };
  for (let index = 0; index < 10_000; index++) {
    const packet = randomPacket(below);
    const key = flowKey(packet, services, SECRET);
    const expected = key === null ? 0 : 0x100 | shardOf(key);
    const hex = (): string => `packet ${index}: ${Buffer.from(packet).toString("hex")}`;
    assert.equal(program.testRun("shard", packet), expected, hex());
    if (key === null) seen.passed++;
    else seen.ours++;
    if (key !== null) seen.shards.add(shardOf(key));
  }
  assert.ok(
    seen.ours > 4000 && seen.passed > 2000,
    `one-sided input: ${seen.ours} ours, ${seen.passed} passed`,
  );
  assert.equal(seen.shards.size, 256);
});

const vip4: Packet = {
  source: [192, 0, 2, 1],
  destination: VIPS_V4[0]!,
  protocol: TCP,
  sourcePort: 4000,
  destinationPort: 80,
};
const vip6: Packet = {
  source: [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9],
  destination: VIPS_V6[0]!,
  protocol: UDP,
  sourcePort: 4000,
  destinationPort: 53,
};

const answer4: Packet = {
  source: BACKENDS_V4[1]!,
  destination: [192, 0, 2, 1],
  protocol: TCP,
  sourcePort: BACKEND_PORT,
  destinationPort: 4000,
};
const answer6: Packet = {
  ...answer4,
  source: BACKENDS_V6[0]!,
  destination: vip6.source,
  protocol: UDP,
};

/** What a router says about a client's packet to a backend. @param from the address of the router or of the backend */
function error(quoted: Packet, type: number, from = quoted.destination): Packet {
  const protocol = quoted.destination.length === 4 ? ICMP : ICMPV6;
  return { source: from, destination: quoted.source, protocol, message: { type, quote: network(quoted) } };
}
const toBackend4: Packet = {
  source: answer4.destination,
  destination: answer4.source,
  protocol: TCP,
  sourcePort: 4000,
  destinationPort: BACKEND_PORT,
};
const toBackend6: Packet = { ...toBackend4, source: vip6.source, destination: answer6.source, protocol: UDP };
/** The same without what the quote has at its end. */
function cut(packet: Packet, bytes: number): Packet {
  const { type, quote } = packet.message!;
  return { ...packet, message: { type, quote: quote.slice(0, bytes) } };
}

/** Changes bytes of a built packet. */
function patch(packet: Packet, offset: number, ...values: number[]): Uint8Array {
  const bytes = build(packet);
  bytes.set(values, offset);
  return bytes;
}

/** An extension header of zeros. @param units of 8 bytes, besides the first */
function extension(type: number, units = 0): { type: number; bytes: number[] } {
  return { type, bytes: [0, units, ...new Array<number>(6 + units * 8).fill(0)] };
}

const taken: [string, Uint8Array][] = [
  ["TCP to a VIP over IPv4", build(vip4)],
  ["UDP to a VIP over IPv6", build(vip6)],
  ["one VLAN tag", build({ ...vip4, vlans: [VLAN] })],
  ["two VLAN tags", build({ ...vip6, vlans: [0x88a8, VLAN] })],
  ["the longest IPv4 options", build({ ...vip4, options: 40 })],
  ["padding behind the IP packet", Uint8Array.from([...build(vip4), 0, 0, 0, 0, 0, 0])],
  ["the first fragment of a datagram", build({ ...vip4, fragment: 0x2000 })],
  [
    "a later fragment, with no layer 4 in it",
    build({ ...vip4, protocol: UDP, fragment: 0x0010 }).slice(0, 34 + 8),
  ],
  ["a fragment of a protocol that is no service", build({ ...vip4, protocol: 47, fragment: 0x2000 })],
  ["an IPv6 fragment", build({ ...vip6, extensions: [{ type: 44, bytes: [0, 0, 0, 1, 0, 0, 0, 9] }] })],
  ["the only fragment of an IPv6 datagram", build({ ...vip6, extensions: [extension(44)] })],
  ["an IPv6 hop-by-hop header", build({ ...vip6, extensions: [extension(0)] })],
  ["eight extension headers", build({ ...vip6, extensions: new Array(8).fill(extension(60)) })],
  [
    "nine extension headers, by the address",
    build({ ...vip6, extensions: new Array(9).fill(extension(60)) }),
  ],
  ["200 bytes of destination options", build({ ...vip6, extensions: [extension(60, 24)] })],
  ["208 bytes of destination options, by the address", build({ ...vip6, extensions: [extension(60, 25)] })],
  ["an authentication header, by the address", build({ ...vip6, extensions: [extension(51)] })],
  [
    "a routing header with a segment left, by the address",
    build({ ...vip6, extensions: [{ type: 43, bytes: [0, 0, 4, 1, 0, 0, 0, 0] }] }),
  ],
  ["an answer of a backend to a client", build(answer4)],
  ["an answer over IPv6", build(answer6)],
  [
    "an answer to the first port of checks through the data plane",
    build({ ...answer4, destination: OWN_V4, destinationPort: PROBE_PORTS.first }),
  ],
  ["the first fragment of an answer", build({ ...answer4, fragment: 0x2000 })],
  ["a later fragment of what may be an answer", build({ ...answer4, protocol: UDP, fragment: 0x0010 })],
  [
    "a fragment of an answer over IPv6",
    build({ ...answer6, extensions: [extension(60), { type: 44, bytes: [0, 0, 0, 1, 0, 0, 0, 9] }] }),
  ],
  ["port unreachable of a backend", build(error(toBackend4, 3))],
  ["fragmentation needed of a router behind the balancer", build(error(toBackend4, 3, [10, 7, 7, 7]))],
  ["a quote of 8 bytes of layer 4", build(cut(error(toBackend4, 11), 28))],
  ["a quoted header with options", build(cut(error({ ...toBackend4, options: 40 }, 12), 68))],
  ["a quoted first fragment", build(error({ ...toBackend4, fragment: 0x2000 }, 3))],
  ["packet too big over IPv6", build(error(toBackend6, 2))],
  [
    "a quote with extension headers",
    build(error({ ...toBackend6, extensions: [extension(0), extension(60, 3)] }, 1)),
  ],
  [
    "a quoted first fragment over IPv6",
    build(error({ ...toBackend6, extensions: [{ type: 44, bytes: [0, 0, 0, 1, 0, 0, 0, 9] }] }, 1)),
  ],
  [
    "an error about a check through the data plane",
    build(error({ ...toBackend4, source: OWN_V4, sourcePort: PROBE_PORTS.first + 1 }, 3)),
  ],
  ["ping", build({ ...vip4, protocol: ICMP })],
  ["ping over IPv6", build({ ...vip6, protocol: ICMPV6 })],
  ["TTL 0: the engine counts it", patch(vip4, 22, 0)],
  ["a bad TCP data offset: the engine counts it", patch(vip4, 14 + 20 + 12, 0x10)],
  ["a bad UDP length: the engine counts it", patch(vip6, 14 + 40 + 4, 0, 0)],
];

const passed: [string, Uint8Array][] = [
  ["an Ethernet header alone", build(vip4).slice(0, 14)],
  ["ARP", patch(vip4, 12, 8, 6)],
  ["three VLAN tags", build({ ...vip4, vlans: [VLAN, VLAN, VLAN] })],
  ["a VLAN tag cut short", build({ ...vip4, vlans: [VLAN] }).slice(0, 17)],
  ["another port of the VIP (SSH)", build({ ...vip4, destinationPort: 22 })],
  ["from a backend, but from another port", build({ ...answer4, sourcePort: 8081 })],
  ["from a backend, but with another protocol", build({ ...answer4, protocol: 132 })],
  ["ping of a backend to a client", build({ ...answer4, protocol: ICMP })],
  ["an error about another port of a backend", build(error({ ...toBackend4, destinationPort: 8081 }, 3))],
  ["an error about another client's packet", build({ ...error(toBackend4, 3), destination: [192, 0, 2, 9] })],
  ["an error about a packet of the host's own", build(error({ ...toBackend4, source: OWN_V4 }, 3))],
  ["an error over IPv6 of the host's own", build(error({ ...toBackend6, source: OWN_V6 }, 1))],
  ["a message that is no error", build(error(toBackend4, 5))],
  ["a message over IPv6 that is no error", build(error(toBackend6, 5))],
  ["a quote that is cut short", build(cut(error(toBackend4, 3), 27))],
  ["a quoted header that is cut short", build(cut(error(toBackend4, 3), 19))],
  ["a quote over IPv6 that is cut short", build(cut(error(toBackend6, 1), 47))],
  ["a quoted later fragment", build(error({ ...toBackend4, fragment: 0x0010 }, 3))],
  [
    "a quoted later fragment over IPv6",
    build(error({ ...toBackend6, extensions: [{ type: 44, bytes: [0, 0, 0, 9, 0, 0, 0, 9] }] }, 1)),
  ],
  ["a quote of another protocol", build(error({ ...toBackend4, protocol: 132 }, 3))],
  [
    "a quote of the other IP version",
    build({ ...error(toBackend4, 3), message: { type: 3, quote: network(toBackend6) } }),
  ],
  ["a fragment of an answer to the machine", build({ ...answer4, destination: OWN_V4, fragment: 0x2000 })],
  [
    "a fragment to the machine, at a port of checks",
    build({ ...answer4, destination: OWN_V4, destinationPort: PROBE_PORTS.first, fragment: 0x2000 }),
  ],
  ["a fragment of a backend's by another protocol", build({ ...answer4, protocol: 132, fragment: 0x2000 })],
  ["a fragment of another's to a client", build({ ...answer4, source: [10, 0, 0, 99], fragment: 0x2000 })],
  [
    "a fragment to the machine over IPv6",
    build({ ...answer6, destination: OWN_V6, extensions: [{ type: 44, bytes: [0, 0, 0, 1, 0, 0, 0, 9] }] }),
  ],
  [
    "a fragment header too far behind",
    build({
      ...answer6,
      extensions: [extension(60, 24), { type: 44, bytes: [0, 0, 0, 1, 0, 0, 0, 9] }],
    }),
  ],
  ["an answer to the machine itself", build({ ...answer4, destination: OWN_V4 })],
  ["an answer to the machine itself over IPv6", build({ ...answer6, destination: OWN_V6 })],
  [
    "an answer to the machine, behind the last port of checks",
    build({ ...answer4, destination: OWN_V4, destinationPort: PROBE_PORTS.first + PROBE_PORTS.count }),
  ],
  ["another address", build({ ...vip4, destination: [10, 99, 0, 3] })],
  ["another protocol", build({ ...vip4, protocol: 47 })],
  ["ICMPv6 over IPv4", build({ ...vip4, protocol: ICMPV6 })],
  ["ICMP over IPv6", build({ ...vip6, protocol: ICMP })],
  ["a fragment to another address", build({ ...vip4, destination: [10, 99, 0, 3], fragment: 0x2000 })],
  ["an IPv4 header cut short", build(vip4).slice(0, 33)],
  ["IPv4 options cut short", build({ ...vip4, options: 40 }).slice(0, 60)],
  ["an IPv4 header length below 20", patch(vip4, 14, 0x44)],
  ["version 6 in an IPv4 packet", patch(vip4, 14, 0x65)],
  ["a total length beyond the frame", patch(vip4, 16, 0, 41)],
  ["a total length below the header", patch(vip4, 16, 0, 19)],
  ["a total length that cuts the TCP header", patch(vip4, 16, 0, 39)],
  ["an IPv6 header cut short", build(vip6).slice(0, 53)],
  ["an IPv6 payload beyond the frame", patch(vip6, 18, 0, 9)],
  ["an IPv6 payload that cuts the UDP header", patch(vip6, 18, 0, 7)],
  ["a fragment header cut short", build({ ...vip6, protocol: 44, payload: 0 }).slice(0, 14 + 40 + 7)],
  ["an extension header behind the end", patch({ ...vip6, extensions: [extension(0)] }, 14 + 41, 2)],
  ["extension headers in front of no layer 4", build({ ...vip6, protocol: 59, extensions: [extension(60)] })],
  ["an unknown EtherType", patch({ ...vip6, vlans: [VLAN] }, 16, IPV6 >> 8, 0)],
];

test("the filter takes what is for a VIP", { skip }, async (context) => {
  const program = load();
  const services = install(program);
  for (const [name, packet] of taken) {
    await context.test(name, () => {
      const key = flowKey(packet, services, SECRET);
      assert.ok(key !== null, "the model disagrees with this test");
      assert.equal(program.testRun("shard", packet), 0x100 | shardOf(key));
    });
  }
});

test("the filter passes everything else to the host", { skip }, async (context) => {
  const program = load();
  const services = install(program);
  for (const [name, packet] of passed) {
    await context.test(name, () => {
      assert.equal(flowKey(packet, services, SECRET), null, "the model disagrees with this test");
      assert.equal(program.testRun("shard", packet), 0);
      assert.equal(program.testRun("steer", packet), 2);
    });
  }
});

test("a removed service is passed", { skip }, () => {
  const program = load();
  install(program);
  const key = new Uint8Array([...VIPS_V4[0]!, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 80, TCP, 4]);
  assert.notEqual(program.testRun("shard", build(vip4)), 0);
  assert.equal(program.deleteService(key), true);
  assert.equal(program.testRun("shard", build(vip4)), 0);
  assert.equal(program.deleteService(key), false);
});

test("an answer belongs to the shard of what the client sends", { skip }, () => {
  const program = load();
  install(program);
  for (const [answer, vip] of [
    [answer4, VIPS_V4[0]!],
    [answer6, VIPS_V6[0]!],
  ] as const) {
    const ports = { sourcePort: answer.destinationPort!, destinationPort: PORTS[0]! };
    const request = { ...answer, source: answer.destination, destination: vip, ...ports };
    assert.equal(program.testRun("shard", build(answer)), program.testRun("shard", build(request)));
  }
});

test("arguments of the wrong size are refused by name", { skip }, () => {
  const program = load();
  const refused = (message: RegExp) => ({ code: "ERR_NATIVE_ARGUMENT", message });
  assert.throws(() => program.setSecret(new Uint8Array(31)), refused(/secret is 31 bytes, expected 32/));
  assert.throws(() => program.setService(new Uint8Array(19), 1), refused(/key is 19 bytes, expected 20/));
  assert.throws(() => program.setService(new Uint8Array(20), 0), refused(/number is 0, expected 1 to 65535/));
  assert.throws(() => program.setShardOwners(new Uint8Array(255)), refused(/owners is 255 bytes/));
  assert.throws(() => program.setShardOwners(new Uint8Array(256).fill(32)), refused(/below 32/));
  assert.throws(
    () => program.setInterface(1, 0, 2, new Uint8Array(5)),
    refused(/mac is 5 bytes, expected 6/),
  );
  assert.throws(() => program.setSocket(1, 0), refused(/index is 1, expected below 1/));
  assert.throws(
    () => native.XdpProgram.load({ sockets: 0, services: 1, interfaces: 1 }),
    refused(/sockets is 0/),
  );
});

test("a full map says so", { skip }, () => {
  const program = native.XdpProgram.load({ sockets: 1, services: 1, interfaces: 1 });
  program.setInterface(1, 0, 2, DESTINATION_MAC);
  assert.throws(() => program.setInterface(2, 0, 2, DESTINATION_MAC), {
    code: "E2BIG",
    message: /load the program with more/,
  });
});
