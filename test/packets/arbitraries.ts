// fast-check arbitraries: valid traffic towards a setup. Few clients and ports, so that flows come back.

import fc from "fast-check";
import { familyOf } from "../model/bytes.ts";
import { eachPort } from "../model/services.ts";
import type { ModelSetup } from "../model/setup.ts";
import type { Vlan } from "./framing.ts";
import { type PacketBuilder, packet } from "./packet.ts";
import { quicDatagram } from "./quic.ts";
import { addressesOf, portsOf } from "./services.ts";

/** What a packet is aimed at: a VIP's service, or something near it. */
interface Target {
  address: string;
  protocol: "tcp" | "udp" | "icmp" | "other";
  port: number;
  /** An ICMP error about a packet from there, not a packet to it; or about a client's packet to where `from` is. */
  error?: boolean;
  /** A fragment of a datagram to it. */
  fragment?: boolean;
  /** Where it comes from, if that is not a client. */
  from?: { address: string; port: number };
}

type Size = { payload: number; pad: number };

const CLIENTS = {
  4: ["192.0.2.1", "192.0.2.2", "198.51.100.7", "203.0.113.254", "0.0.0.0", "255.255.255.255", "127.9.9.9"],
  6: [
    "2001:db8::1",
    "2001:db8::2",
    "2001:db8:1::ffff",
    "fe80::1",
    "::",
    "::1",
    "::ffff:c000:201",
    "ff02::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
  ],
};
const STRANGERS = ["10.255.0.1", "2001:db8:ffff::1"];
const TCP_FLAGS = ["S", "A", "PA", "FA", "R", "RA", "SA", "SF", "SR", "", "FSRPAUEW"];

const protocol = fc.constantFrom("tcp", "udp", "icmp", "other") satisfies fc.Arbitrary<Target["protocol"]>;
const clientPort = fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 40000, max: 40001 }) }, fc.nat(65535));
const size: fc.Arbitrary<Size> = fc.record({
  payload: fc.oneof(
    { weight: 8, arbitrary: fc.nat(40) },
    { weight: 1, arbitrary: fc.integer({ min: 1400, max: 1500 }) },
    { weight: 1, arbitrary: fc.nat(1600) },
  ),
  pad: fc.constantFrom(0, 60, 64, 100),
});
const tags: fc.Arbitrary<Vlan[]> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Vlan[]>([]) },
  {
    weight: 4,
    arbitrary: fc.array(
      fc.record({ id: fc.nat(4095), pcp: fc.nat(7), dei: fc.nat(1), tpid: fc.constantFrom(0x8100, 0x88a8) }),
      { minLength: 1, maxLength: 3 },
    ),
  },
);
const mac = fc
  .uint8Array({ minLength: 6, maxLength: 6 })
  .map((bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(":"));

/** Services that most packets are for, so that flows come back. */
const FEW = 6;
const often = <T, O = T>(usual: T, other: fc.Arbitrary<O>): fc.Arbitrary<T | O> =>
  fc.oneof({ weight: 9, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other });

/** Mostly a datagram to the first service, or the first that is translated, so that its fragments meet. */
function fragmented(setup: ModelSetup, services: Target[]): fc.Arbitrary<Target> {
  const translated = setup.vips.filter(({ forward }) => forward === "nat").map(({ address }) => address);
  const few = [services[0]!, ...services.filter(({ address }) => translated.includes(address)).slice(0, 1)];
  return fc
    .oneof({ weight: 9, arbitrary: fc.constantFrom(...few) }, fc.constantFrom(...services))
    .map((to) => ({ ...to, fragment: true }));
}

/** Mostly a service of the setup, else another port, protocol or address. */
function target(setup: ModelSetup): fc.Arbitrary<Target> {
  const services = setup.vips.flatMap(({ address, protocols, ports }) =>
    addressesOf(address).flatMap((address) =>
      protocols.flatMap((protocol) =>
        ports.flatMap(portsOf).map((port): Target => ({ address, protocol, port })),
      ),
    ),
  );
  const near: fc.Arbitrary<Target> = fc.record({
    address: fc.constantFrom(...setup.vips.flatMap((vip) => addressesOf(vip.address)), ...STRANGERS),
    protocol,
    port: fc.oneof(
      fc.constantFrom(0, ...setup.vips.flatMap((vip) => vip.ports.flatMap(portsOf))),
      fc.nat(65535),
    ),
  });
  if (services.length === 0) return near;
  const byServerId = setup.vips.filter((vip) => vip.byServerId).map(({ address }) => address);
  const few = services.filter(
    ({ address }, i) => i % Math.ceil(services.length / FEW) === 0 || byServerId.includes(address),
  );
  return fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(...few) },
    { weight: 2, arbitrary: fc.constantFrom(...services) },
    { weight: 1, arbitrary: fc.constantFrom(...few).map((to) => ({ ...to, error: true })) },
    { weight: 2, arbitrary: fragmented(setup, services) },
    { weight: 3, arbitrary: near },
  );
}

/** Answers of backends behind `nat`, to clients and now and then to the machine itself; undefined where there are none. */
function answer(setup: ModelSetup): fc.Arbitrary<Target> | undefined {
  const origins = setup.vips
    .filter(({ forward }) => forward === "nat")
    .flatMap(({ protocols, ports, pool }) =>
      setup.pools
        .find(({ name }) => name === pool)!
        .backends.flatMap(({ address, port }) =>
          protocols.flatMap((protocol) =>
            ports.flatMap(eachPort).map((each) => ({ protocol, from: { address, port: port ?? each } })),
          ),
        ),
    );
  if (origins.length === 0) return undefined;
  return fc.constantFrom(...origins).chain((origin) => {
    const { address } = origin.from;
    const whole = fc.record({
      port: clientPort,
      address: client(setup, address),
      error: fc.nat(3).map((n) => n === 0),
    });
    // Of few datagrams, so that fragments meet.
    const part = fc.constant({ port: 40000, address: CLIENTS[familyOf(address)][0]!, fragment: true });
    return fc
      .oneof({ weight: 2, arbitrary: whole }, { weight: 1, arbitrary: part })
      .map((to) => ({ ...origin, ...to }));
  });
}

/** A packet that obeys the RFCs, as a builder so that more can be done to it. */
export function validBuilder(setup: ModelSetup): fc.Arbitrary<PacketBuilder> {
  const answers = answer(setup);
  const targets = answers
    ? fc.oneof({ weight: 4, arbitrary: target(setup) }, { weight: 1, arbitrary: answers })
    : target(setup);
  return targets.chain((to) =>
    fc
      .record({
        tags,
        size,
        dst: fc.oneof(
          { weight: 4, arbitrary: fc.constant(setup.interfaces[0]!.mac) },
          { weight: 1, arbitrary: mac },
        ),
        src: mac,
        family: fc.constant(familyOf(to.address)),
        above: to.fragment ? fc.constant((builder: PacketBuilder) => builder) : layer4(to, serverIds(setup)),
        ip: to.fragment ? fragment(to) : network(setup, to.address, to.error ? undefined : to.from?.address),
      })
      .map(({ tags, size, dst, src, above, ip }) => {
        const ethernet = tags.reduce((built, tag) => built.vlan(tag), packet().ethernet({ dst, src }));
        return above(ip(ethernet))
          .payload(to.fragment || to.error ? 0 : size.payload)
          .pad(size.pad);
      }),
  );
}

export function validPacket(setup: ModelSetup): fc.Arbitrary<Uint8Array> {
  return validBuilder(setup).map((builder) => builder.bytes());
}

type Step = (builder: PacketBuilder) => PacketBuilder;

/** Mostly one of the first two, so that their flows come back; rarely an address of the balancer's own. */
function client({ machine, vips }: ModelSetup, dst: string): fc.Arbitrary<string> {
  const addresses = CLIENTS[familyOf(dst)];
  const own = [
    machine.address,
    machine.address6,
    ...vips.flatMap(({ address }) => addressesOf(address)),
  ].filter((each) => each !== undefined && familyOf(each) === familyOf(dst)) as string[];
  return fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...addresses.slice(0, 2)) },
    { weight: 4, arbitrary: fc.constantFrom(...addresses) },
    fc.constantFrom(...own, dst),
  );
}

interface Extension {
  type: number;
  words: number;
  /** A routing header's segments left, or whether more fragments follow. */
  third: number;
}

const extensions: fc.Arbitrary<Extension[]> = fc.array(
  fc.record({
    type: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(0, 43, 44, 60, 135, 139, 140) }, fc.constant(51)),
    words: fc.oneof({ weight: 5, arbitrary: fc.nat(2) }, fc.nat(30)),
    third: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.constant(1)),
  }),
  { maxLength: 10 },
);

function extended(start: PacketBuilder, chain: Extension[]): PacketBuilder {
  return chain.reduce(
    (built, { type, words, third }) =>
      type === 44
        ? built.fragment({ more: third === 1 })
        : built.extension({ type, content: Uint8Array.of(0, third, ...new Uint8Array(words * 8 + 4)) }),
    start,
  );
}

function network(setup: ModelSetup, dst: string, from?: string): fc.Arbitrary<Step> {
  const ttl = fc.oneof(fc.constantFrom(1, 2, 63, 64, 65, 128, 255), fc.integer({ min: 1, max: 255 }));
  if (familyOf(dst) === 4) {
    return fc
      .record({
        src: from === undefined ? client(setup, dst) : fc.constant(from),
        ttl,
        tos: often(0, fc.nat(255)),
        id: fc.nat(65535),
        df: fc.boolean(),
        moreFragments: often(false, fc.boolean()),
        fragmentOffset: often(0, fc.nat(0x1fff)),
        options: fc.nat(10).map((words) => new Uint8Array(words > 5 ? 0 : words * 4).fill(1)),
      })
      .map((fields) => (builder) => builder.ipv4({ ...fields, dst }));
  }
  return fc
    .record({
      src: from === undefined ? client(setup, dst) : fc.constant(from),
      hopLimit: ttl,
      trafficClass: often(0, fc.nat(255)),
      flowLabel: fc.nat(0xfffff),
      chain: fc.oneof({ weight: 4, arbitrary: fc.constant<Extension[]>([]) }, extensions),
    })
    .map(({ chain, ...fields }) => (builder) => {
      const start = builder.ipv6({ ...fields, dst });
      return extended(start, chain);
    });
}

/** An ICMP error that quotes a packet of a target's, or something near it: all of it, or its beginning. */
function icmpError(from: Target): fc.Arbitrary<Step> {
  const family = familyOf(from.address);
  return fc
    .record({
      type: often(3, fc.nat(13)),
      code: fc.nat(5),
      src: often(from.address, fc.constantFrom(...STRANGERS.filter((each) => familyOf(each) === family))),
      dst: from.from ? fc.constant(from.from.address) : fc.constantFrom(...CLIENTS[family].slice(0, 3)),
      dport: from.from ? fc.constant(from.from.port) : clientPort,
      options: often(0, fc.nat(10)),
      fragmentOffset: often(0, fc.nat(0x1fff)),
      chain: often<Extension[]>([], extensions),
      // RFC 792 asks for 8 bytes behind the header.
      length: fc.oneof(
        fc.constant(1000),
        fc.constantFrom(28, 37, 38, 48, 57, 58),
        fc.integer({ min: 0, max: 80 }),
      ),
      data: fc.nat(60),
      checksum: often(undefined, fc.constantFrom(0, 0xffff)),
    })
    .map(({ type, code, src, dst, dport, options, fragmentOffset, chain, length, data, checksum }) => {
      const ports = { sport: from.port, dport, ...(checksum !== undefined && { checksum }) };
      const fields = { src, dst, fragmentOffset, options: new Uint8Array(options * 4).fill(1) };
      const start = family === 4 ? packet().ipv4(fields) : extended(packet().ipv6({ src, dst }), chain);
      const whole = from.protocol === "udp" ? start.udp(ports) : start.tcp({ ...ports, flags: "A" });
      const quoted = whole.payload(data).bytes().subarray(0, length);
      return (builder) =>
        (family === 4
          ? builder.icmp({ type, code, id: 0, seq: 1400 })
          : builder.icmpv6({ type: type === 3 ? 2 : type, code, seq: 1400 })
        ).payload(quoted);
    });
}

function serverIds({ pools }: ModelSetup): string[] {
  return pools.flatMap(({ backends }) => backends.flatMap(({ quicServerId }) => quicServerId ?? []));
}

/**
 * One of the fragments of a datagram. There are few datagrams, so that fragments of one meet: first, middle and last, and some
 * that no datagram has.
 */
function fragment(to: Target): fc.Arbitrary<Step> {
  const family = familyOf(to.address);
  const header = to.protocol === "tcp" ? 20 : 8;
  return fc
    .record({
      src: to.from
        ? fc.constant(to.from.address)
        : often(CLIENTS[family][0]!, fc.constantFrom(...CLIENTS[family])),
      id: fc.nat(2),
      sport: to.from ? often(to.from.port, fc.nat(65535)) : often(40000, clientPort),
      flags: often("A", fc.constantFrom(...TCP_FLAGS)),
      part: fc.nat(2),
      bytes: fc.oneof({ weight: 4, arbitrary: fc.constant(24) }, fc.constantFrom(0, 8, 16, 23, 40)),
      offset: often(0, fc.nat(0x1fff)),
    })
    .map(({ src, id, sport, flags, part, bytes, offset }) => (builder) => {
      const at = offset || part * 4;
      const more = part < 2;
      const protocol = header === 20 ? 6 : 17;
      const ip =
        family === 4
          ? builder.ipv4({
              src,
              dst: to.address,
              id,
              df: false,
              moreFragments: more,
              fragmentOffset: at,
              protocol,
            })
          : builder.ipv6({ src, dst: to.address }).fragment({ offset: at, more, id, nextHeader: protocol });
      if (at > 0 || bytes !== 24) return ip.payload(bytes);
      const ports = { sport, dport: to.port };
      const start = header === 20 ? ip.tcp({ ...ports, flags }) : ip.udp({ ...ports, length: 80 });
      return start.payload(32 - header);
    });
}

/** @param ids of QUIC servers */
function layer4(to: Target, ids: readonly string[]): fc.Arbitrary<Step> {
  const dport = to.port;
  if (to.error) return icmpError(to);
  const sourcePort = to.from === undefined ? clientPort : fc.constant(to.from.port);
  if (to.protocol === "tcp") {
    return fc
      .record({
        sport: sourcePort,
        flags: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...TCP_FLAGS) }, fc.nat(255)),
        seq: fc.nat(0xffffffff),
        options: fc.nat(20).map((words) => new Uint8Array(words > 10 ? 0 : words * 4).fill(1)),
      })
      .map((fields) => (builder) => builder.tcp({ ...fields, dport }));
  }
  if (to.protocol === "udp") {
    const nothing = fc.constant(new Uint8Array(0));
    const datagram = ids.length === 0 ? nothing : fc.oneof(nothing, quicDatagram(ids), quicDatagram(ids));
    // Some are without a checksum, which IPv4 allows.
    return fc.tuple(sourcePort, datagram, often(true, fc.constant(false))).map(
      ([sport, bytes, sums]) =>
        (builder) =>
          builder.udp({ sport, dport, ...(!sums && { checksum: 0 }) }).payload(bytes),
    );
  }
  if (to.protocol === "icmp") {
    return fc
      .record({
        type: fc.oneof(fc.constantFrom(familyOf(to.address) === 4 ? 8 : 128), fc.nat(255)),
        code: often(0, fc.nat(255)),
        id: fc.nat(65535),
        other: often(false, fc.constant(true)),
      })
      .map(({ other, ...fields }) => (builder) => {
        return (familyOf(to.address) === 4) === other ? builder.icmpv6(fields) : builder.icmp(fields);
      });
  }
  return fc.constantFrom<Step>(
    (builder) => builder.gre().ipv4({ src: "10.0.0.1", dst: "10.99.0.1" }).tcp({ dport }),
    (builder) => builder.ipv4({ src: "10.0.0.1", dst: "10.99.0.1" }).tcp({ dport }),
    (builder) => builder,
  );
}
