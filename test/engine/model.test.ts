// The engine against the plain model of the same rules, packet for packet: verdict, reason, backend, what the
// connection table did, and every byte that leaves.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { stringify } from "yaml";
import { parseConfig } from "../../src/config/load.ts";
import { OfflineEngine } from "../../src/io/offline.ts";
import { Model } from "../model/model.ts";
import { type Config, offlineSetup, type Ports, type TunnelMode } from "../model/setup.ts";
import { hostilePacket, type TimedPacket, traffic } from "../packets/hostile.ts";
import { vipAddress, vipPorts } from "../packets/services.ts";
import { runs } from "../runs.ts";
import { compare } from "./compare.ts";

const FRAGMENT_REASONS = ["fragment", "fragment-timeout"];

const backend = fc.record({ weight: fc.constantFrom(0, 1, 1, 2, 7), v6: fc.boolean() });
const pool = fc.record({
  serverIdBytes: fc.constantFrom(0, 0, 1, 2, 8, 9, 15),
  tableSize: fc.constantFrom(2, 7, 251, 65537),
  backends: fc.array(backend, { minLength: 0, maxLength: 5 }),
});
/** A VIP whose addresses are translated, with a pool of its own: its answers name it. */
const nat = fc.record({
  v6: fc.boolean(),
  protocol: fc.constantFrom<"tcp" | "udp" | "any">("tcp", "udp", "any"),
  ports: fc.oneof(
    fc.uniqueArray(fc.integer({ min: 1, max: 65535 }), { minLength: 1, maxLength: 3 }),
    fc.constant<Ports[]>(["7000-7003", 9000]),
  ),
  // The first ones have a port of their own, where there is one port that they all are for.
  ported: fc.nat(3),
  backends: fc.integer({ min: 1, max: 4 }),
});
/** Around the clients that there are. */
const PREFIXES = [
  "0.0.0.0/0",
  "192.0.2.0/24",
  "192.0.2.1",
  "192.0.2.0/31",
  "::/0",
  "2001:db8::/32",
  "2001:db8::1",
];
const guard = fc
  .record({
    prefixes: fc.uniqueArray(fc.record({ prefix: fc.constantFrom(...PREFIXES), allowed: fc.boolean() }), {
      selector: ({ prefix }) => prefix,
      maxLength: 4,
    }),
    limit: fc.constantFrom(0, 1, 3, 7),
    prefix: fc.constantFrom(0, 24, 31, 32),
    prefix6: fc.constantFrom(0, 64, 65, 128),
  })
  .map(({ prefixes, limit, prefix, prefix6 }) => {
    const of = (list: boolean) =>
      prefixes.filter(({ allowed }) => allowed === list).map(({ prefix }) => prefix);
    const allow = of(true);
    return {
      ...(allow.length > 0 && { allow }),
      deny: of(false),
      packetsPerSecond: { limit, prefix, prefix6 },
    };
  });
const vip = fc.record({
  address: vipAddress,
  protocol: fc.constantFrom<"tcp" | "udp" | "any">("tcp", "udp", "any"),
  ports: vipPorts,
  forward: fc.constantFrom<"l2" | TunnelMode>("l2", "gre", "ipip", "gue"),
  tunnel: fc.record({
    ttl: fc.constantFrom(1, 64, 255),
    guePort: fc.constantFrom(1, 6080, 65535),
    tooBig: fc.constantFrom<"reply" | "fragment">("reply", "fragment"),
    sourcePrefix: fc.constantFrom(
      [],
      ["172.16.0.0/16"],
      ["fd16::/64"],
      ["172.16.7.0/30", "fd16::7:0/112"],
      ["172.16.0.9", "fd16::8/125"],
      ["172.0.0.0/8", "fd00::/16"],
    ),
  }),
  echo: fc.boolean(),
  pool: fc.nat(1),
  byServerId: fc.boolean(),
  guard: fc.option(guard, { freq: 2, nil: undefined }),
});

/** No prefix is no key in the configuration. */
function omitEmpty<T extends { sourcePrefix: readonly string[] }>({ sourcePrefix, ...rest }: T) {
  return { ...rest, ...(sourcePrefix.length > 0 && { sourcePrefix }) };
}

/** Configurations of two pools and up to eight VIPs, some of them sharing an address or containing each other. */
const config: fc.Arbitrary<Config> = fc
  .record({
    pools: fc.tuple(pool, pool),
    nats: fc.array(nat, { maxLength: 2 }),
    vips: fc.array(vip, { minLength: 1, maxLength: 8 }),
    timeout: fc.constantFrom("1s", "5s", "60s"),
    size: fc.constantFrom(2048, 4096),
    newFlowsPerSecond: fc.constantFrom(0, 0, 1, 20),
  })
  .map(({ pools, nats, vips, timeout, size, newFlowsPerSecond }) => {
    let host = 20;
    const used = new Set<string>();
    return {
      machine: { address: "10.0.0.11", address6: "fd00::11" },
      frames: { size },
      conntrack: {
        flows: 1000,
        newFlowsPerSecond,
        timeouts: { new: timeout, established: "20s", closing: "2s", udp: "3s" },
      },
      pools: Object.fromEntries([
        ...nats.map(({ v6, ports, ported, backends }, i) => [
          `nat${i}`,
          {
            tableSize: 251,
            backends: Array.from({ length: backends }, (_, n) => ({
              name: `n${i}${n}`,
              address: v6 ? `fd00::a:${i}${n}` : `10.0.1.${10 * i + n + 1}`,
              ...(n < ported && ports.length === 1 && { port: 8000 + n }),
            })),
          },
        ]),
        ...pools.map(({ tableSize, serverIdBytes, backends }, i) => [
          `pool${i}`,
          {
            tableSize,
            backends: backends.map(({ weight, v6 }) => {
              host++;
              const quicServerId = host.toString(16).padStart(2 * serverIdBytes, "a0");
              return {
                name: `b${host}`,
                address: v6 ? `fd00::${host}` : `10.0.0.${host}`,
                weight,
                ...(serverIdBytes > 0 && { quicServerId }),
              };
            }),
          },
        ]),
      ]),
      vips: [
        ...nats.map(({ v6, protocol, ports }, i) => ({
          ...{ name: `nat${i}`, address: v6 ? `fd99::a:${i}` : `10.99.1.${i + 1}`, protocol, port: ports },
          ...{ pool: `nat${i}`, forward: "nat" as const },
        })),
        ...vips.flatMap(({ ports, pool, tunnel, byServerId, guard, ...rest }, i) => {
          const { serverIdBytes, backends } = pools[pool]!;
          const isQuic = byServerId && rest.protocol !== "tcp" && serverIdBytes > 0 && backends.length > 0;
          const free = ports.filter((port) => !used.has(`${rest.address}|${port}`));
          for (const port of free) used.add(`${rest.address}|${port}`);
          return free.length === 0
            ? []
            : [
                {
                  ...rest,
                  name: `vip${i}`,
                  port: free,
                  pool: `pool${pool}`,
                  tunnel: omitEmpty(tunnel),
                  ...(guard && { guard }),
                  ...(isQuic && { quic: { routeBy: "server-id" as const } }),
                },
              ];
        }),
      ],
    };
  });

/** Valid and hostile packets, at times around the timeouts. */
function stream(each: Config, packets: number): fc.Arbitrary<TimedPacket[]> {
  const setup = offlineSetup(each);
  return traffic(setup, hostilePacket(setup), packets);
}

suite("engine and model agree", () => {
  const { cases, packets } = runs.model;
  test(`${cases} configurations with up to ${packets} packets each`, async () => {
    let compared = 0;
    const seen = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(
        config.chain((each) =>
          fc.tuple(fc.constant(each), fc.integer({ min: 1, max: 4 }), stream(each, packets)),
        ),
        async ([each, workers, stream]) => {
          const { config } = parseConfig(stringify(each), "generated.yaml");
          const engine = new OfflineEngine(config, { workers, inline: true });
          const model = new Model(offlineSetup(each));
          const results = await engine.process(
            stream.map(({ bytes, clockMs }) => ({ bytes, timeMs: clockMs })),
          );
          await engine.flush();
          const outcomes = stream.map(({ bytes, clockMs }) => model.process(bytes, clockMs));
          model.flush();
          const names = (id: number) => engine.engine.directory.backends[id]?.config.name;
          for (const [i, packet] of stream.entries()) {
            compare(results[i]!, outcomes[i]!, names, packet);
            seen.set(results[i]!.reason, (seen.get(results[i]!.reason) ?? 0) + 1);
            compared++;
          }
        },
      ),
      { numRuns: cases, seed: runs.seed, endOnFailure: true },
    );
    console.log(`# ${compared} packets compared:`, Object.fromEntries(seen));
    for (const reason of [
      "hit",
      "new",
      "table",
      "echo",
      "not-vip",
      "truncated",
      "no-backend",
      "too-big-replied",
      "spoofed-source",
      "land",
      "denied",
      "rate-limited",
      "server-id",
      "icmp-error",
      ...FRAGMENT_REASONS,
      "return",
    ]) {
      assert.ok(seen.has(reason), `no packet ended with ${reason}: the generator is too narrow`);
    }
  });
});
