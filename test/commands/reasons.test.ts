// Every reason that a packet can end with offline, as `explain` or `replay` shows it; and why there are some that they cannot show.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { parseConfig } from "../../src/config/load.ts";
import { reasonCode, reasons, verdictOf } from "../../src/dataplane/reasons.ts";
import { explain } from "../../src/explain/explain.ts";
import { renderExplanation } from "../../src/explain/render.ts";
import type { ReplaySummary } from "../../src/replay/tally.ts";
import { capture } from "../io/captures.ts";
import { packet } from "../packets/packet.ts";
import { guideway } from "./guideway.ts";

const CONFIG = `
machine: { address: 10.0.0.11, address6: "fd00::11" }
conntrack: { flows: 1000, newFlowsPerSecond: 1 }
pools:
  web: { tableSize: 251, backends: [{ name: web-1, address: 10.0.0.21, quicServerId: "aa" }, { name: web-2, address: 10.0.0.22, quicServerId: "bb" }] }
  none: { backends: [] }
  inner: { tableSize: 7, backends: [{ name: inner-1, address: 10.0.0.31, port: 8080 }] }
vips:
  - { name: web, address: 10.99.0.1, port: 80, pool: web }
  - { name: web6, address: "fd99::1", port: 80, pool: web }
  - { name: far, address: 10.99.0.2, protocol: udp, port: 53, pool: web, forward: gre }
  - { name: guarded, address: 10.99.0.4, port: 80, pool: web, guard: { deny: [192.0.2.64/26], packetsPerSecond: { limit: 1 } } }
  - { name: h3, address: 10.99.0.4, protocol: udp, port: 443, pool: web, quic: { routeBy: server-id } }
  - { name: none, address: 10.99.0.3, port: 80, pool: none, echo: false }
  - { name: nat, address: 10.99.0.5, port: 80, pool: inner, forward: nat }
`;

const CLIENT = "192.0.2.1";
const VIP = "10.99.0.1";
const from = (src: string, dst = VIP) => packet().ethernet().ipv4({ src, dst });
const to = (dst: string) => from(CLIENT, dst);
const syn = { dport: 80, flags: "S" } as const;
const ip6 = packet().ethernet().ipv6({ src: "2001:db8::9", dst: "fd99::1" });
const fragment = (id: number, offset: number, more: boolean) =>
  packet()
    .ethernet()
    .ipv4({
      ...{ src: CLIENT, dst: VIP, id, df: false, protocol: 17 },
      ...{ fragmentOffset: offset, moreFragments: more },
    });

/** One packet, which the second time may be a hit. */
const EXPLAINED: Record<string, { bytes: Uint8Array; times?: number }> = {
  hit: { bytes: to(VIP).tcp(syn).bytes(), times: 2 },
  new: { bytes: to(VIP).tcp(syn).bytes() },
  "server-id": {
    bytes: to("10.99.0.4")
      .udp({ dport: 443 })
      .payload(Uint8Array.of(0x40, 5, 0xbb, 9))
      .bytes(),
  },
  "icmp-error": {
    bytes: from("198.51.100.1")
      .icmp({ type: 3, code: 4, id: 0, seq: 1400 })
      .ipv4({ src: VIP, dst: CLIENT, totalLength: 1500 })
      .tcp({ sport: 80, dport: 50000, flags: "A" })
      .bytes(),
  },
  return: { bytes: from("10.0.0.31", CLIENT).tcp({ sport: 8080, flags: "SA" }).bytes() },
  echo: { bytes: to(VIP).icmp({ type: 8 }).bytes() },
  "not-ip": { bytes: new Uint8Array(60) },
  "not-vip": { bytes: to(VIP).tcp({ dport: 22 }).bytes() },
  truncated: { bytes: to(VIP).tcp(syn).cut(30).bytes() },
  "bad-header": { bytes: packet().ethernet().ipv4({ src: CLIENT, dst: VIP, version: 5 }).tcp(syn).bytes() },
  "bad-length": { bytes: to(VIP).udp({ dport: 80, length: 7 }).bytes() },
  "ttl-expired": { bytes: packet().ethernet().ipv4({ src: CLIENT, dst: VIP, ttl: 0 }).tcp(syn).bytes() },
  fragment: { bytes: fragment(1, 0, true).udp({ dport: 9 }).payload(16).bytes() },
  "extension-header": { bytes: ip6.extension({ type: 51 }).tcp(syn).bytes() },
  "icmp-unsupported": { bytes: to("10.99.0.3").icmp({ type: 8 }).bytes() },
  "no-backend": { bytes: to("10.99.0.3").tcp(syn).bytes() },
  "too-big-replied": { bytes: to("10.99.0.2").udp({ dport: 53 }).payload(1450).bytes() },
  // Nobody is told: it may be cut, and a router should have done so.
  "too-big": {
    bytes: packet().ethernet().ipv4({ src: CLIENT, dst: VIP, df: false }).tcp(syn).payload(1500).bytes(),
  },
  oversized: { bytes: new Uint8Array(1793) },
  "fragment-tiny": {
    bytes: packet()
      .ethernet()
      .ipv4({ src: CLIENT, dst: VIP, protocol: 6, moreFragments: true })
      .payload(16)
      .bytes(),
  },
  "fragment-timeout": { bytes: fragment(3, 2, false).payload(9).bytes() },
  "spoofed-source": { bytes: from("127.0.0.1").tcp(syn).bytes() },
  land: { bytes: from(VIP).tcp(syn).bytes() },
  denied: { bytes: from("192.0.2.65", "10.99.0.4").tcp(syn).bytes() },
  "bad-checksum": {
    bytes: packet().ethernet().ipv4({ src: CLIENT, dst: "10.99.0.5", checksum: 1 }).tcp(syn).bytes(),
  },
};

/** Packets that come at once, and how many of them must end so. */
const REPLAYED: Record<string, { packets: Uint8Array[]; least: number }> = {
  // Each of the 256 shards enters one.
  table: {
    packets: Array.from({ length: 300 }, (_, i) =>
      to(VIP)
        .tcp({ ...syn, sport: 1024 + i })
        .bytes(),
    ),
    least: 300 - 256,
  },
  "rate-limited": { packets: Array.from({ length: 3 }, () => to("10.99.0.4").tcp(syn).bytes()), least: 2 },
  // All are of one shard, in which 64 wait.
  "fragment-limit": {
    packets: Array.from({ length: 70 }, (_, i) => fragment(i, 100, false).payload(8).bytes()),
    least: 70 - 64,
  },
};

const ONLY_RUNNING: Record<string, string> = {
  probe: "offline there are neither checks nor self-tests, whose packets these are",
  unresolved: "offline every next hop has a MAC address",
  "tx-full": "offline no more packets are in flight than the ring takes",
  "handoff-full": "offline no more packets are in flight than the ring takes",
  "no-frame": "offline there are frames for the fragments of every packet of a round",
  trapped: "it takes a defect of the engine, and replay ends with TRAPPED then",
  "no-route": "offline all clients are behind one router",
};

const directory = mkdtempSync(join(tmpdir(), "guideway-reasons-"));
after(() => rmSync(directory, { recursive: true }));
const at = (name: string) => join(directory, name);
writeFileSync(at("lb.yaml"), CONFIG);
const { config } = parseConfig(CONFIG, "lb.yaml");

suite("reasons, offline", () => {
  test("each has an example, or a word why it cannot have one", () => {
    const listed = [EXPLAINED, REPLAYED, ONLY_RUNNING].flatMap(Object.keys);
    assert.deepEqual(listed.sort(), [...reasons.values()].sort());
  });

  for (const [reason, { bytes, times = 1 }] of Object.entries(EXPLAINED)) {
    test(`explain: ${reason}`, async () => {
      const explanation = await explain(config, bytes, times);
      assert.deepEqual([explanation.reason, explanation.verdict], [reason, verdictOf(reasonCode(reason))]);
      const { verdict, meaning } = explanation;
      const last = renderExplanation(explanation).match(/^verdict .*$/m)![0];
      assert.equal(last.replace(/^verdict +/, ""), `${verdict}, ${reason}: ${meaning}`);
      assert.notEqual(meaning, reason);
    });
  }

  for (const [reason, { packets, least }] of Object.entries(REPLAYED)) {
    test(`replay: ${reason}`, () => {
      writeFileSync(at("in.pcap"), capture(packets.map((bytes) => ({ bytes }))));
      const options = ["--config", at("lb.yaml"), "--out", at("out.pcap"), "--json"];
      const { status, stdout } = guideway(["replay", at("in.pcap"), ...options]);
      assert.equal(status, 0);
      const count = (JSON.parse(stdout) as ReplaySummary).reasons[reason] ?? 0;
      assert.ok(count >= least, `${count}, expected at least ${least}: ${stdout}`);
    });
  }
});
