// fast-check arbitraries: what an attacker or a broken machine sends, and packets in time.

import fc from "fast-check";
import type { ModelSetup } from "../model/setup.ts";
import { validBuilder, validPacket } from "./arbitraries.ts";
import { packet } from "./packet.ts";
import { addressesOf, portsOf } from "./services.ts";

/** Any bytes, from none to a whole frame, which is more than the engine takes. */
function anyBytes(setup: ModelSetup): fc.Arbitrary<Uint8Array> {
  const { frameBytes } = setup;
  return fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.uint8Array({ maxLength: frameBytes, size: "max" }),
    fc
      .constantFrom(0, 1, 13, 14, 33, 34, 53, 54, frameBytes - 256, frameBytes - 255, frameBytes)
      .map((length) => new Uint8Array(length)),
  );
}

/** Random bytes behind an Ethernet header that says IP. */
function ipNoise(): fc.Arbitrary<Uint8Array> {
  return fc
    .record({
      type: fc.constantFrom(0x0800, 0x86dd, 0x8100, 0x88a8),
      first: fc.constantFrom(0x45, 0x46, 0x4f, 0x60, 0x44, 0x05, 0xff),
      noise: fc.uint8Array({ maxLength: 120 }),
    })
    .map(({ type, first, noise }) =>
      packet()
        .ethernet({ type })
        .payload(Uint8Array.of(first, ...noise))
        .bytes(),
    );
}

/** A valid packet that ends too early, at any length. */
function truncated(setup: ModelSetup): fc.Arbitrary<Uint8Array> {
  return validPacket(setup).chain((bytes) =>
    fc
      .oneof(fc.nat(bytes.length), fc.nat(Math.min(90, bytes.length)))
      .map((length) => bytes.slice(0, length)),
  );
}

/** A valid packet with a few bytes changed, mostly in its headers. */
function mutated(setup: ModelSetup): fc.Arbitrary<Uint8Array> {
  const value = fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255));
  const place = fc.oneof({ weight: 8, arbitrary: fc.nat(80) }, fc.nat(2000));
  const changes = fc.array(fc.tuple(place, value), { minLength: 1, maxLength: 6 });
  return fc.tuple(validPacket(setup), changes).map(([bytes, list]) => {
    for (const [at, byte] of list) if (at < bytes.length) bytes[at] = byte;
    return bytes;
  });
}

/** Headers whose lengths lie, towards a VIP. */
function lying(setup: ModelSetup): fc.Arbitrary<Uint8Array> {
  const v4 = setup.vips.filter(({ address }) => !address.includes(":"));
  const v6 = setup.vips.filter(({ address }) => address.includes(":"));
  const near = fc.oneof(fc.nat(80), fc.constantFrom(0, 1, 7, 8, 19, 20, 21, 28, 40, 1500, 65535));
  const lies = fc.record({ near, ihl: fc.nat(15), dataOffset: fc.nat(15), ttl: fc.nat(2), tail: fc.nat(60) });
  const families: fc.Arbitrary<Uint8Array>[] = [];
  const transports = ["tcp", "udp", "icmp", "none"] as const;
  if (v4.length) {
    families.push(
      fc
        .tuple(lies, fc.constantFrom(...v4), fc.constantFrom(...transports), fc.nat(3))
        .map(([lie, vip, above, which]) => {
          const { ihl, ttl } = lie;
          const honest = { src: "192.0.2.1", dst: addressesOf(vip.address)[0]! };
          const fields = [
            { ...honest, ihl },
            { ...honest, totalLength: lie.near },
            { ...honest, ttl },
            honest,
          ][which]!;
          return finish(packet().ethernet().ipv4(fields), above, portsOf(vip.ports[0] ?? 0)[0] ?? 0, lie);
        }),
    );
  }
  if (v6.length) {
    families.push(
      fc
        .tuple(lies, fc.constantFrom(...v6), fc.constantFrom(...transports), fc.nat(2))
        .map(([lie, vip, above, which]) => {
          const honest = { src: "2001:db8::1", dst: addressesOf(vip.address)[0]! };
          const fields = [{ ...honest, payloadLength: lie.near }, { ...honest, hopLimit: lie.ttl }, honest][
            which
          ]!;
          return finish(packet().ethernet().ipv6(fields), above, portsOf(vip.ports[0] ?? 0)[0] ?? 0, lie);
        }),
    );
  }
  return families.length ? fc.oneof(...families) : ipNoise();
}

function finish(
  ip: ReturnType<typeof packet>,
  above: "tcp" | "udp" | "icmp" | "none",
  dport: number,
  lie: { near: number; dataOffset: number; tail: number },
): Uint8Array {
  if (above === "tcp") return ip.tcp({ dport, dataOffset: lie.dataOffset }).payload(lie.tail).bytes();
  if (above === "udp") return ip.udp({ dport, length: lie.near }).payload(lie.tail).bytes();
  if (above === "icmp") return ip.icmp().payload(lie.tail).bytes();
  return ip.payload(lie.tail).bytes();
}

/** A valid packet with bytes behind its end, which no header accounts for. */
function trailing(setup: ModelSetup): fc.Arbitrary<Uint8Array> {
  return fc.tuple(validBuilder(setup), fc.nat(300)).map(([builder, more]) => {
    return builder.pad(builder.bytes().length + more).bytes();
  });
}

/** All of these, and valid packets among them, so that there are flows to disturb. */
export function hostilePacket(setup: ModelSetup): fc.Arbitrary<Uint8Array> {
  const kinds = [
    validPacket(setup),
    validPacket(setup),
    anyBytes(setup),
    ipNoise(),
    truncated(setup),
    mutated(setup),
    lying(setup),
    trailing(setup),
  ];
  return fc.oneof(...kinds);
}

export interface TimedPacket {
  bytes: Uint8Array;
  clockMs: number;
}

/** Packets at times that never go back: together, close, or around the timeouts. */
export function traffic(
  setup: ModelSetup,
  packets: fc.Arbitrary<Uint8Array>,
  maxLength = 100,
): fc.Arbitrary<TimedPacket[]> {
  const timeouts = Object.values(setup.timeoutsMs);
  const pauseMs = fc.oneof(
    { weight: 20, arbitrary: fc.constant(0) },
    { weight: 10, arbitrary: fc.nat(200) },
    { weight: 1, arbitrary: fc.nat(Math.min(...timeouts)) },
    { weight: 1, arbitrary: fc.constantFrom(...timeouts.flatMap((ms) => [ms - 16, ms, ms + 16, ms * 4])) },
  );
  return fc.array(fc.tuple(packets, pauseMs), { minLength: 1, maxLength, size: "max" }).map((list) => {
    let clockMs = 0;
    return list.map(([bytes, pause]) => {
      clockMs += pause;
      return { bytes, clockMs };
    });
  });
}
