// Traffic of real hosts, recorded in front of a balancer (record.ts), through `guideway replay`: what is in it, what becomes of each
// packet and flow, and that it is what became of it when it was recorded.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import type { ReplaySummary } from "../../src/replay/tally.ts";
import { macBytes } from "../model/bytes.ts";
import type { Config } from "../model/setup.ts";
import { CAPTURE, checkModel, counts, type Replayed, replay, replayAll } from "./replayed.ts";
import type { ServedFlow } from "./server.ts";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const served = JSON.parse(readFileSync(path("traffic.json"), "utf8")) as ServedFlow[];
const config = parse(readFileSync(path("traffic.yaml"), "utf8")) as Config;

let packets: Replayed[] = [];
let summary: ReplaySummary;
const directory = mkdtempSync(join(tmpdir(), "guideway-capture-"));

/** Packets by a name that some of them have. */
function grouped(name: (packet: Replayed) => string | undefined): Map<string, Replayed[]> {
  const groups = Map.groupBy(packets, (each) => name(each) ?? "");
  groups.delete("");
  return groups;
}

const backendsOf = (group: readonly Replayed[]) => [...new Set(group.map(({ backend }) => backend))];
suite("recorded traffic", { timeout: 60_000 }, () => {
  before(async () => {
    ({ packets, summary } = await replayAll(config, directory));
  });
  after(() => rmSync(directory, { recursive: true }));

  /** What is in the capture: how many by dissect.ts, how many by tcpdump's filter, and how many are the least. */
  const contents: [what: string, least: number, filter: string, is: (packet: Replayed) => boolean][] = [
    ["TCP segments", 300, "ip proto 6 or (ip6 and ip6[6] = 6)", ({ tcp }) => tcp !== undefined],
    [
      "TCP segments with options",
      300,
      "(tcp and tcp[12] & 0xf0 > 0x50) or (ip6 and ip6[6] = 6 and ip6[52] & 0xf0 > 0x50)",
      ({ tcp }) => (tcp?.options.length ?? 0) > 0,
    ],
    [
      "RST",
      2,
      "(tcp and tcp[13] & 4 != 0) or (ip6[6] = 6 and ip6[53] & 4 != 0)",
      ({ tcp }) => tcp?.rst === true,
    ],
    ["DNS over UDP", 16, "udp dst port 53", ({ flow }) => /^udp .*:53$/.test(flow ?? "")],
    ["DNS over TCP", 16, "tcp dst port 53", ({ flow }) => /^tcp .*:53$/.test(flow ?? "")],
    [
      "QUIC with long headers",
      8,
      "udp dst port 443 and ((ip and udp[8] & 0xc0 = 0xc0) or (ip6 and ip6[48] & 0xc0 = 0xc0))",
      ({ flow, udp }) => /^udp .*:443$/.test(flow ?? "") && udp![8]! >> 6 === 3,
    ],
    [
      "QUIC with short headers",
      32,
      "udp dst port 443 and ((ip and udp[8] & 0xc0 = 0x40) or (ip6 and ip6[48] & 0xc0 = 0x40))",
      ({ flow, udp }) => /^udp .*:443$/.test(flow ?? "") && udp![8]! >> 6 === 1,
    ],
    [
      "fragments over IPv4",
      40,
      "ip[6:2] & 0x3fff != 0",
      ({ bytes, datagram }) => bytes[12] === 8 && datagram !== undefined,
    ],
    [
      "fragments over IPv6",
      40,
      "ip6[6] = 44",
      ({ bytes, datagram }) => bytes[12] === 0x86 && datagram !== undefined,
    ],
    [
      "later fragments",
      70,
      "ip[6:2] & 0x1fff != 0 or (ip6[6] = 44 and ip6[42:2] & 0xfff8 != 0)",
      ({ later }) => later,
    ],
    ["fragmentation needed", 5, "icmp[0] = 3 and icmp[1] = 4", ({ icmp }) => isIcmp(icmp, 4, 3, 4)],
    ["packet too big", 5, "ip6[6] = 58 and ip6[40] = 2", ({ icmp }) => isIcmp(icmp, 6, 2, 0)],
    [
      "port unreachable",
      2,
      "(icmp[0] = 3 and icmp[1] = 3) or (ip6[6] = 58 and ip6[40] = 1 and ip6[41] = 4)",
      ({ icmp }) => isIcmp(icmp, 4, 3, 3) || isIcmp(icmp, 6, 1, 4),
    ],
  ];
  for (const [what, least, filter, is] of contents) {
    test(`it contains ${what}, as many as tcpdump says`, () => {
      const argv = ["-nn", "-t", "-q", "-r", CAPTURE, filter];
      const text = execFileSync("tcpdump", argv, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
      const count = text.split("\n").filter(Boolean).length;
      assert.equal(packets.filter(is).length, count);
      assert.ok(count >= least, `${count}, expected at least ${least}`);
    });
  }

  function isIcmp(icmp: Replayed["icmp"], family: number, type: number, code: number): boolean {
    return icmp?.family === family && icmp.type === type && icmp.code === code;
  }

  test("it contains what TCP does: all of the usual options, SYNs and data that are sent again", () => {
    const kinds = new Set(packets.flatMap(({ tcp }) => tcp?.options ?? []));
    // MSS, window scale, SACK permitted, SACK, timestamps (RFC 9293, 7323, 2018).
    for (const kind of [2, 3, 4, 5, 8]) assert.ok(kinds.has(kind), `option ${kind}`);
    const again = packets.filter((each) => each.again);
    for (const family of [0x08, 0x86] as const) {
      const ofFamily = again.filter(({ bytes }) => bytes[12] === family);
      assert.ok(
        ofFamily.some(({ tcp }) => tcp!.syn),
        "a SYN",
      );
      assert.ok(ofFamily.filter(({ tcp }) => tcp!.bytes > 0).length >= 2, "data");
    }
  });

  test("every packet ends as in the model, byte for byte", () => checkModel(packets, summary));

  test("a forwarded packet is the one that came, with two other MAC addresses", () => {
    const forwarded = packets.filter(({ verdict }) => verdict === "forward");
    assert.ok(forwarded.length > 500, `${forwarded.length}`);
    for (const { backend, bytes, out, index } of forwarded) {
      const [pool, name] = backend!.split("/");
      const { address } = config.pools[pool!]!.backends!.find((each) => each.name === name)!;
      const last = Number(address.replace(/^.*[.:]/, pool === "v4" ? "" : "0x"));
      const hop = pool === "v4" ? [2, 0, 10, 0, 0, last] : [2, 6, 0, 0, 0, last];
      const expected = Buffer.from([...hop, ...macBytes("02:bb:00:00:00:01"), ...bytes.subarray(12)]);
      assert.deepEqual(
        out.map((each) => Buffer.from(each)),
        [expected],
        `packet ${index + 1}`,
      );
    }
  });

  test("every TCP flow has one backend; what follows its first SYN is known, also what is sent again", () => {
    const flows = grouped(({ tcp, flow, vip }) => (tcp && vip ? flow : undefined));
    assert.ok(flows.size >= 30, `${flows.size} flows`);
    for (const [flow, [first, ...others]] of flows) {
      assert.ok(first!.tcp!.syn, flow);
      assert.deepEqual([first!.reason, first!.tracked], ["new", false], flow);
      assert.equal(backendsOf([first!, ...others]).length, 1, flow);
      for (const { reason, tracked } of others) assert.deepEqual([reason, tracked], ["hit", true], flow);
    }
    const again = packets.filter((each) => each.again && each.vip);
    assert.ok(again.length >= 6, `${again.length} are sent again`);
    assert.deepEqual(counts(again.map(({ reason }) => reason)), { hit: again.length });
  });

  test("all fragments of a datagram go to the backend of its flow", () => {
    const datagrams = grouped(({ datagram, flow }) => (flow ? datagram : undefined));
    assert.ok(datagrams.size >= 20, `${datagrams.size} datagrams`);
    const flows = grouped(({ flow }) => flow);
    for (const [datagram, fragments] of datagrams) {
      assert.ok(fragments.length >= 2, datagram);
      for (const { verdict } of fragments) assert.equal(verdict, "forward", datagram);
      const flow = fragments[0]!.flow!;
      assert.deepEqual(backendsOf(fragments), backendsOf(flows.get(flow)!), flow);
    }
    // Of a ping there is no flow.
    const others = packets.filter(({ datagram, flow }) => datagram && !flow);
    assert.deepEqual(counts(others.map(({ reason }) => reason)), { fragment: 4 });
  });

  test("an ICMP error goes to the backend of the flow that it quotes", () => {
    const flows = grouped(({ flow }) => flow);
    const errors = packets.filter(({ icmp }) => icmp?.about);
    assert.ok(errors.length >= 20, `${errors.length} errors`);
    for (const error of errors) {
      const flow = error.icmp!.about!;
      assert.equal(error.reason, "icmp-error");
      assert.deepEqual([error.backend], backendsOf(flows.get(flow)!), flow);
    }
  });

  test("QUIC goes by its server id, once it has one", () => {
    const quic = packets.filter(({ flow }) => /^udp .*:443$/.test(flow ?? ""));
    for (const { udp, reason, backend } of quic) {
      // The short header's id: an octet, then the server's two.
      if (udp![8]! >> 6 === 3) assert.equal(reason, "new");
      else assert.deepEqual([reason, backend!.slice(-1)], ["server-id", String(udp![11])]);
    }
  });

  test("every flow has the backend that served it in the lab", () => {
    const flows = grouped(({ flow, vip }) => (vip ? flow : undefined));
    assert.deepEqual([...flows.keys()].sort(), served.map(({ flow }) => flow).sort());
    for (const { flow, backend } of served)
      assert.deepEqual(
        backendsOf(flows.get(flow)!).map((each) => each?.slice(-3)),
        [backend],
        flow,
      );
  });

  test("2 and 4 workers: the same", () => {
    const [one, ...more] = [1, 2, 4].map((workers) => replay(config, workers, directory));
    for (const each of more) assert.deepEqual(each, one);
  });

  for (const forward of ["gre", "ipip", "gue", "nat"] as const) {
    test(`forward: ${forward}, as in the model; every flow at the same backend`, async () => {
      const vips = config.vips.map((vip) => ({ ...vip, forward }));
      const other = await replayAll({ ...config, vips }, directory);
      checkModel(other.packets, other.summary);
      const known = new Map(served.map(({ flow, backend }) => [flow, backend]));
      for (const { flow, backend, verdict } of other.packets)
        if (flow && verdict === "forward") assert.equal(backend?.slice(-3), known.get(flow), flow);
    });
  }
});
