import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { parse } from "yaml";
import { reasons } from "../../src/dataplane/reasons.ts";
import type { Explanation } from "../../src/explain/explain.ts";
import { MEANINGS } from "../../src/explain/meanings.ts";
import { openPcap } from "../../src/io/pcap-reader.ts";
import { capture } from "../io/captures.ts";
import { Model } from "../model/model.ts";
import { offlineSetup } from "../model/setup.ts";
import { packet } from "../packets/packet.ts";
import { guideway } from "./guideway.ts";

const CONFIG = `
machine: { address: 10.0.0.11, mac: "02:bb:00:00:00:09" }
pools:
  web: { tableSize: 251, backends: [{ name: web-1, address: 10.0.0.21, quicServerId: "aa" }, { name: web-2, address: "fd00::22", mac: "02:00:00:00:00:22" }] }
  far: { tableSize: 7, backends: [{ name: far-1, address: 10.1.0.21 }] }
  none: { backends: [] }
  inner: { tableSize: 7, backends: [{ name: inner-1, address: 10.0.0.31, port: 8080 }] }
vips:
  - { name: web, address: 10.99.0.1, port: [80, 443], pool: web }
  - { name: web6, address: "2001:db8::1", port: 80, pool: web }
  - { name: far, address: 10.99.0.2, protocol: udp, port: 53, pool: far, forward: gre }
  - { name: guarded, address: 10.99.0.4, port: 80, pool: web, guard: { allow: [192.0.2.0/24], deny: [192.0.2.64/26], packetsPerSecond: { limit: 1 } } }
  - { name: h3, address: 10.99.0.4, protocol: udp, port: 443, pool: web, quic: { routeBy: server-id } }
  - { name: none, address: 10.99.0.3, port: 80, pool: none, echo: false }
  - { name: nat, address: 10.99.0.5, port: 80, pool: inner, forward: nat }
`;
const directory = mkdtempSync(join(tmpdir(), "guideway-explain-"));
const config = join(directory, "lb.yaml");
writeFileSync(config, CONFIG);
after(() => rmSync(directory, { recursive: true }));

const setup = offlineSetup(parse(CONFIG));
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const fromClient = packet().ethernet().ipv4({ src: "192.0.2.1", dst: "10.99.0.1" });

const ipTo = (dst: string, src: string) => packet().ethernet().ipv4({ src, dst });

const run = (...options: string[]) => guideway(["explain", "--config", config, ...options]);

function explain(...options: string[]): Explanation {
  const { status, stdout, stderr } = run(...options, "--json");
  assert.equal(stderr, "");
  assert.equal(status, 0);
  return JSON.parse(stdout) as Explanation;
}

/**
 * What replay writes for packets of different flows; undefined for those that do not leave, the first fragment for those that
 * leave in several. Each has a time of its own, by which it is known again.
 */
async function replayed(packets: Uint8Array[]): Promise<(string | undefined)[]> {
  const [input, output] = [join(directory, "in.pcap"), join(directory, "out.pcap")];
  writeFileSync(input, capture(packets.map((bytes, fraction) => ({ bytes, fraction }))));
  const { status } = guideway(["replay", input, "--config", config, "--out", output]);
  assert.equal(status, 0);
  const left = new Map<number, string>();
  for await (const batch of (await openPcap(output)).batches())
    for (const { bytes, fraction } of batch) if (!left.has(fraction)) left.set(fraction, hex(bytes));
  return packets.map((_, index) => left.get(index));
}

suite("guideway explain", () => {
  test("a new TCP flow: every number is the model's", () => {
    const { before, after: sent, ...rest } = explain("--flow", "tcp 192.0.2.1:40000 > 10.99.0.1:443");
    const bytes = packet()
      .ethernet({ dst: "02:bb:00:00:00:09" })
      .ipv4({ src: "192.0.2.1", dst: "10.99.0.1" })
      .tcp({ sport: 40000, dport: 443, flags: "S", seq: 0 })
      .bytes();
    assert.equal(before.bytes, hex(bytes));
    const expected = new Model(setup).process(bytes, 0);
    assert.equal(sent!.bytes, hex(expected.out!));
    const key = expected.key;
    assert.equal(rest.verdict, "forward");
    assert.equal(rest.reason, "new");
    assert.deepEqual(rest.vip, { name: "web", address: "10.99.0.1", pool: "web", forward: "l2" });
    assert.deepEqual(rest.service, { number: expected.service, protocol: "tcp", port: 443 });
    assert.deepEqual(rest.flow, {
      key: `0x${key.toString(16).padStart(16, "0")}`,
      shard: Number(key & 255n),
      shards: 256,
      line: Number((key >> 8n) & BigInt(setup.shardLines - 1)),
      lines: setup.shardLines,
      fingerprint: `0x${((key >> 16n) & 0xffffffffn).toString(16).padStart(8, "0")}`,
      signature: `0x${(key >> 48n).toString(16).padStart(4, "0")}`,
    });
    assert.deepEqual(rest.connection, { outcome: "inserted", tracked: false });
    assert.equal(rest.lookup!.slot, expected.slot);
    assert.equal(rest.lookup!.size, 251);
    assert.equal(rest.lookup!.entry, expected.backend);
    assert.equal(Math.floor((Number(rest.lookup!.hash) * 251) / 2 ** 32), expected.slot);
    assert.equal(rest.backend!.name, expected.backend);
    assert.deepEqual(
      rest.changes.map(({ kind, fields }) => [kind, ...fields].join(" ")),
      ["changed Ethernet destination", "changed Ethernet source"],
    );
  });

  const cases: [title: string, bytes: Uint8Array, verdict: string, reason: string][] = [
    ["TCP over IPv4", fromClient.tcp({ dport: 80, flags: "S" }).bytes(), "forward", "new"],
    [
      "TCP over IPv6, tagged",
      packet()
        .ethernet()
        .vlan(9)
        .ipv6({ src: "2001:db8::9", dst: "2001:db8::1" })
        .tcp({ dport: 80 })
        .payload("hello")
        .bytes(),
      "forward",
      "new",
    ],
    [
      "UDP into a tunnel, its padding cut",
      packet().ethernet().ipv4({ src: "192.0.2.1", dst: "10.99.0.2" }).udp({ dport: 53 }).pad().bytes(),
      "forward",
      "new",
    ],
    [
      "UDP into a tunnel, with as much padding cut as the tunnel adds",
      packet().ethernet().ipv4({ src: "192.0.2.2", dst: "10.99.0.2" }).udp({ dport: 53 }).pad(66).bytes(),
      "forward",
      "new",
    ],
    ["an echo request over IPv4", fromClient.icmp({ type: 8 }).bytes(), "reply", "echo"],
    [
      "an echo request over IPv6",
      packet().ethernet().ipv6({ src: "2001:db8::9", dst: "2001:db8::1" }).icmpv6({ type: 128 }).bytes(),
      "reply",
      "echo",
    ],
    [
      "a ping that is not answered",
      packet().ethernet().ipv4({ src: "192.0.2.1", dst: "10.99.0.3" }).icmp({ type: 8 }).bytes(),
      "drop",
      "icmp-unsupported",
    ],
    [
      "a fragment of a ping",
      packet().ethernet().ipv4({ src: "192.0.2.1", dst: "10.99.0.1", moreFragments: true }).icmp().bytes(),
      "drop",
      "fragment",
    ],
    [
      "a first fragment",
      packet()
        .ethernet()
        .ipv4({ src: "192.0.2.1", dst: "10.99.0.2", moreFragments: true })
        .udp({ dport: 53, length: 100 })
        .payload(16)
        .bytes(),
      "forward",
      "new",
    ],
    [
      "a later fragment, without the first",
      packet()
        .ethernet()
        .ipv4({ src: "192.0.2.3", dst: "10.99.0.1", fragmentOffset: 3, protocol: 17 })
        .payload(9)
        .bytes(),
      "drop",
      "fragment-timeout",
    ],
    [
      "an ICMP error about a flow",
      packet()
        .ethernet()
        .ipv4({ src: "198.51.100.1", dst: "10.99.0.1" })
        .icmp({ type: 3, code: 4, id: 0, seq: 1400 })
        .ipv4({ src: "10.99.0.1", dst: "192.0.2.1", totalLength: 1500 })
        .tcp({ sport: 80, dport: 50000, flags: "A" })
        .bytes(),
      "forward",
      "icmp-error",
    ],
    [
      "a pool without backends",
      packet().ethernet().ipv4({ src: "192.0.2.1", dst: "10.99.0.3" }).tcp({ dport: 80 }).bytes(),
      "drop",
      "no-backend",
    ],
    [
      "a packet that the tunnel makes too big",
      packet()
        .ethernet()
        .ipv4({ src: "192.0.2.1", dst: "10.99.0.2" })
        .udp({ dport: 53 })
        .payload(1450)
        .bytes(),
      "reply",
      "too-big-replied",
    ],
    [
      "a packet that leaves in fragments",
      packet()
        .ethernet()
        .ipv4({ src: "192.0.2.1", dst: "10.99.0.2", df: false })
        .udp({ dport: 53 })
        .payload(1450)
        .bytes(),
      "forward",
      "new",
    ],
    [
      "a packet whose addresses are translated",
      packet().ethernet().ipv4({ src: "192.0.2.1", dst: "10.99.0.5" }).tcp({ dport: 80 }).bytes(),
      "forward",
      "new",
    ],
    [
      "an answer of a backend",
      packet()
        .ethernet()
        .ipv4({ src: "10.0.0.31", dst: "192.0.2.1" })
        .tcp({ sport: 8080, flags: "SA" })
        .bytes(),
      "forward",
      "return",
    ],
    [
      "a packet to be translated whose time is over",
      packet().ethernet().ipv4({ src: "192.0.2.1", dst: "10.99.0.5", ttl: 1 }).tcp({ dport: 80 }).bytes(),
      "drop",
      "ttl-expired",
    ],
    [
      "a packet to be translated whose header's checksum is wrong",
      packet()
        .ethernet()
        .ipv4({ src: "192.0.2.1", dst: "10.99.0.5", checksum: 1 })
        .tcp({ dport: 80 })
        .bytes(),
      "drop",
      "bad-checksum",
    ],
    ["a denied source", ipTo("10.99.0.4", "192.0.2.64").tcp({ dport: 80 }).bytes(), "drop", "denied"],
    ["a forged source", ipTo("10.99.0.1", "127.0.0.1").tcp({ dport: 80 }).bytes(), "drop", "spoofed-source"],
    ["a land packet", ipTo("10.99.0.1", "10.99.0.1").tcp({ dport: 80 }).bytes(), "drop", "land"],
    [
      "a QUIC packet that names its backend",
      ipTo("10.99.0.4", "192.0.2.1")
        .udp({ dport: 443 })
        .payload(Uint8Array.of(0x40, 5, 0xaa, 9))
        .bytes(),
      "forward",
      "server-id",
    ],
    ["a frame that is no IP", new Uint8Array(60), "pass", "not-ip"],
    ["a port that is no service", fromClient.tcp({ dport: 22 }).bytes(), "pass", "not-vip"],
    ["half a header", fromClient.tcp().cut(30).bytes(), "drop", "truncated"],
    ["more than a frame holds", new Uint8Array(1793), "drop", "oversized"],
  ];
  const left = replayed(cases.map(([, bytes]) => bytes));
  for (const [index, [title, bytes, verdict, reason]] of cases.entries()) {
    test(`${title}: ${verdict} ${reason}, and the bytes of replay`, async () => {
      const found = explain("--packet", hex(bytes));
      assert.equal(found.before.bytes, hex(bytes));
      assert.deepEqual([found.verdict, found.reason], [verdict, reason]);
      const model = new Model(setup);
      const expected = model.process(bytes, 0);
      model.flush();
      assert.deepEqual([found.verdict, found.reason], [expected.verdict, expected.reason]);
      assert.equal(found.after?.bytes, expected.out && hex(expected.out));
      assert.equal(found.after?.bytes, (await left)[index]);
      assert.equal(found.vip?.name, expected.vip);
      assert.equal(found.backend?.name, expected.backend);
      assert.equal(patched(found), found.after?.bytes);
    });
  }

  /** The packet that came with the changes made to it: what is said to have changed is all that did. */
  function patched({ before, after, changes }: Explanation): string | undefined {
    if (after === null) return undefined;
    let bytes = before.bytes;
    // From the back, so that offsets stay right.
    for (const { offset, bytes: length, before: old, after: now } of changes.toSorted(
      (a, b) => b.offset - a.offset,
    )) {
      assert.equal(bytes.slice(2 * offset, 2 * offset + old.length), old);
      assert.equal(Math.max(old.length, now.length), 2 * length);
      bytes = bytes.slice(0, 2 * offset) + now + bytes.slice(2 * offset + old.length);
    }
    return bytes;
  }

  test("a guard: which prefix decides, and that nothing else was asked", () => {
    const steps = (src: string) =>
      run("--packet", hex(ipTo("10.99.0.4", src).tcp({ dport: 80 }).bytes())).stdout;
    assert.match(steps("192.0.2.64"), /^guard +denied: deny 192\.0\.2\.64\/26 is the longest prefix$/m);
    assert.match(steps("192.0.2.64"), /^connection table +not asked\nlookup table +not asked$/m);
    assert.match(steps("198.51.100.1"), /^guard +denied: no prefix contains the source$/m);
    assert.match(
      steps("192.0.2.1"),
      /^guard +allowed: allow 192\.0\.2\.0\/24 is the longest prefix; 1 packets\/s for each source \/24$/m,
    );
    const quic = explain(
      "--packet",
      hex(
        ipTo("10.99.0.4", "192.0.2.1")
          .udp({ dport: 443 })
          .payload(Uint8Array.of(0x40, 5, 0xaa, 9))
          .bytes(),
      ),
    );
    assert.deepEqual([quic.connection, quic.lookup, quic.backend?.name], [null, null, "web-1"]);
  });

  test("a packet that comes again is a hit", () => {
    const found = explain("--flow", "tcp 192.0.2.1:40000 > 10.99.0.1:80", "--repeat", "2");
    const { name } = found.backend!;
    assert.deepEqual(found.passes, [
      { verdict: "forward", reason: "new", connection: "inserted", backend: name },
      { verdict: "forward", reason: "hit", connection: "hit", backend: name },
      { verdict: "forward", reason: "hit", connection: "hit", backend: name },
    ]);
    assert.deepEqual(found.connection, { outcome: "hit", tracked: true });
    assert.equal(found.lookup, null);
    assert.equal(explain("--flow", "tcp 192.0.2.1:40000 > 10.99.0.1:80", "--repeat").passes.length, 2);
  });

  test("every step is told", () => {
    const { stdout } = run("--flow", "udp 192.0.2.1:40000 > 10.99.0.2:53");
    const steps = [
      "VIP +far: 10.99.0.2",
      "service +7: udp port 53",
      "flow key +0x[0-9a-f]{16}, mixed from source, service 7",
      "shard +\\d+ of 256",
      "line +\\d+ of \\d+, fingerprint",
      "connection table +not known: inserted in its home line",
      "lookup table +pool far: hash 0x[0-9a-f]{8}, slot \\d of 7 = far-1",
      "backend +far-1, id 3 of pool far: 10.1.0.21",
      "next hop +02:00:0a:01:00:15",
      "rewrite +gre: Ethernet destination; Ethernet source; added 24 bytes: IPv4, GRE",
      "verdict +forward, new: ",
    ];
    assert.match(stdout, new RegExp(steps.map((step) => `^${step}.*\n`).join(""), "m"));
    assert.match(stdout, /^packet in: 42 bytes\n/);
    const found = explain("--flow", "udp 192.0.2.1:40000 > 10.99.0.2:53");
    assert.ok(stdout.includes(`\n  ${found.before.bytes}\n`));
    assert.ok(stdout.includes(`\n  ${found.after!.bytes}\n`));
    assert.match(stdout, /\n {2}bytes 14-37 +IPv4, GRE +added: 45000034/);
  });

  test("a packet that is not for us is told as such", () => {
    const { stdout } = run("--flow", "tcp 192.0.2.1:40000 > 10.99.0.1:22");
    assert.match(stdout, /\nVIP +none has this service\nverdict +pass, not-vip: [^\n]+\n$/);
    assert.match(
      run("--packet", "00").stdout,
      /\nVIP +not asked: it was decided before\nverdict +drop, truncated: [^\n]+\n$/,
    );
  });

  test("every reason has a meaning", () => {
    assert.deepEqual(Object.keys(MEANINGS).sort(), [...reasons.values()].sort());
  });

  test("usage", () => {
    const fails = (says: RegExp, ...options: string[]) => {
      const { status, stdout, stderr } = run(...options);
      assert.equal(status, 2, stderr);
      assert.equal(stdout, "");
      assert.match(stderr, says);
    };
    fails(/expected either --packet or --flow/);
    fails(/expected either --packet or --flow/, "--packet", "00", "--flow", "icmp 1.2.3.4 > 10.99.0.1");
    fails(/^--packet: it has 1 digits, expected an even number/, "--packet", "0");
    fails(/^--flow "tcp": expected PROTOCOL SOURCE > DESTINATION/, "--flow", "tcp");
    fails(/from 1 to 1000/, "--packet", "00", "--repeat", "0");
    const { status, stderr } = guideway([
      "explain",
      "--config",
      join(directory, "none.yaml"),
      "--packet",
      "00",
    ]);
    assert.equal(status, 2);
    assert.match(stderr, /there is no such file/);
  });
});
