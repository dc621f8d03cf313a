// That the random packets are worth sending: every verdict and reason comes up.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Model } from "../model/model.ts";
import { offlineSetup } from "../model/setup.ts";
import { validPacket } from "./arbitraries.ts";
import { hostilePacket, traffic } from "./hostile.ts";

const setup = offlineSetup({
  conntrack: { newFlowsPerSecond: 1 },
  machine: { address: "10.0.0.11", address6: "fd00::11" },
  pools: {
    web: {
      tableSize: 251,
      backends: [
        { address: "10.0.0.21", quicServerId: "0a01" },
        { address: "fd00::22", quicServerId: "0a02" },
      ],
    },
    none: {},
  },
  vips: [
    { name: "l2", address: "10.99.0.1", protocol: "any", port: [80, 443], pool: "web" },
    {
      name: "gre",
      address: "10.99.0.2",
      protocol: "tcp",
      port: 80,
      pool: "web",
      forward: "gre",
      echo: false,
    },
    { name: "gre6", address: "2001:db8:99::1", protocol: "any", port: 80, pool: "web", forward: "gre" },
    {
      name: "quic",
      address: "10.99.0.3",
      protocol: "udp",
      port: 443,
      pool: "web",
      quic: { routeBy: "server-id" },
    },
    {
      name: "guarded",
      address: "10.99.0.4",
      port: 80,
      pool: "web",
      guard: { deny: ["192.0.2.1"], packetsPerSecond: { limit: 1 } },
    },
    { name: "none", address: "2001:db8:99::2", protocol: "udp", port: 53, pool: "none" },
  ],
});

function seen(packets: fc.Arbitrary<Uint8Array>): string[] {
  const found = new Set<string>();
  for (const list of fc.sample(traffic(setup, packets), { numRuns: 60, seed: 1 })) {
    const model = new Model(setup);
    const outcomes = list.map(({ bytes, clockMs }) => model.process(bytes, clockMs));
    model.flush();
    for (const { verdict, reason } of outcomes) found.add(`${verdict} ${reason}`);
  }
  return [...found].sort();
}

const WELL_FORMED = [
  "drop bad-header",
  "drop bad-length",
  "drop denied",
  "drop extension-header",
  "drop fragment",
  "drop fragment-timeout",
  "drop fragment-tiny",
  "drop icmp-unsupported",
  "drop land",
  "drop no-backend",
  "drop oversized",
  "drop rate-limited",
  "drop spoofed-source",
  "drop too-big",
  "forward hit",
  "forward icmp-error",
  "forward new",
  "forward server-id",
  "forward table",
  "pass not-ip",
  "pass not-vip",
  "reply echo",
  "reply too-big-replied",
];

// Random fragments need not make a datagram: some of them have bad lengths and headers.
test("valid packets bring up every verdict that they can", () => {
  assert.deepEqual(seen(validPacket(setup)), WELL_FORMED);
});

test("hostile packets bring up all the others too", () => {
  const others = ["truncated", "ttl-expired"];
  const expected = [...WELL_FORMED, ...others.map((reason) => `drop ${reason}`)].sort();
  assert.deepEqual(seen(hostilePacket(setup)), expected);
});
