// So many VIPs that what a batch needs is touched first: packets spread over all of them, hostile ones in between, end as in the model.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { stringify } from "yaml";
import { parseConfig } from "../../src/config/load.ts";
import { OfflineEngine } from "../../src/io/offline.ts";
import { Model } from "../model/model.ts";
import { type Config, offlineSetup } from "../model/setup.ts";
import { hostilePacket } from "../packets/hostile.ts";
import { packet } from "../packets/packet.ts";
import { runs } from "../runs.ts";
import { compare } from "./compare.ts";

const VIPS = 700;
const PACKETS = 4000;
const HOSTILE = 400;

const document: Config = {
  machine: { address: "10.0.0.11", address6: "fd00::11" },
  conntrack: { flows: 1000 },
  pools: Object.fromEntries(
    [0, 1, 2].map((pool) => [
      `pool${pool}`,
      {
        tableSize: 251,
        backends: [1, 2, 3].map((n) => ({ name: `b${pool}${n}`, address: `10.0.${pool}.${n}` })),
      },
    ]),
  ),
  vips: Array.from({ length: VIPS }, (_, i) => ({
    name: `v${i}`,
    address: i % 2 === 0 ? `10.99.${i >> 8}.${i & 255}` : `fd99::${(i + 1).toString(16)}`,
    port: i % 5 === 0 ? [80, "8000-8099"] : 80,
    pool: `pool${i % 3}`,
    forward: i % 7 === 0 ? "gre" : "l2",
  })),
};

/** The packet number n: VIPs in an order of their own, flows that come back. */
function packetOf(n: number): Uint8Array {
  const vip = document.vips[(n * 313) % VIPS]!;
  const dport = n % 5 === 0 ? 8050 : 80;
  const tcp = { sport: 40_000 + (n % 2), dport, flags: "A" };
  const ethernet = n % 11 === 0 ? packet().ethernet().vlan(5) : packet().ethernet();
  const ip = vip.address.includes(":")
    ? ethernet.ipv6({ src: "2001:db8::1", dst: vip.address })
    : ethernet.ipv4({ src: "192.0.2.1", dst: vip.address });
  return ip.tcp(tcp).bytes();
}

test(`${PACKETS} packets to ${VIPS} VIPs`, async (t) => {
  const setup = offlineSetup(document);
  const hostile = fc.sample(hostilePacket(setup), { numRuns: HOSTILE, seed: runs.seed });
  const every = Math.floor(PACKETS / HOSTILE);
  const packets = Array.from({ length: PACKETS }, (_, n) => {
    return n % every === 0 ? hostile[n / every]! : packetOf(n);
  });
  const { config } = parseConfig(stringify(document), "generated.yaml");
  const engine = new OfflineEngine(config, { workers: 2, inline: true });
  t.after(() => engine.close());
  const model = new Model(setup);
  const results = await engine.process(packets.map((bytes) => ({ bytes, timeMs: 0 })));
  await engine.flush();
  const outcomes = packets.map((bytes) => model.process(bytes, 0));
  model.flush();
  const names = (id: number) => engine.engine.directory.backends[id]?.config.name;
  const seen = new Map<string, number>();
  for (const [i, bytes] of packets.entries()) {
    compare(results[i]!, outcomes[i]!, names, { bytes, clockMs: 0 });
    seen.set(results[i]!.reason, (seen.get(results[i]!.reason) ?? 0) + 1);
  }
  assert.ok(seen.get("hit")! > PACKETS / 3 && seen.get("new")! > VIPS / 2, JSON.stringify([...seen]));
});
