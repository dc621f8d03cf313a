import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, suite, test } from "node:test";
import fc from "fast-check";
import { parse } from "yaml";
import { openPcap } from "../../src/io/pcap-reader.ts";
import type { VerdictLine } from "../../src/replay/replay.ts";
import type { ReplaySummary } from "../../src/replay/tally.ts";
import { type CaptureRecord, capture } from "../io/captures.ts";
import { Model } from "../model/model.ts";
import { offlineSetup } from "../model/setup.ts";
import { decode } from "../packets/decode.ts";
import { hostilePacket, traffic } from "../packets/hostile.ts";
import { packet } from "../packets/packet.ts";
import { guideway, MAIN } from "./guideway.ts";

const CONFIG = `
machine: { address: 10.0.0.11, address6: "fd00::11" }
conntrack: { flows: 1000, timeouts: { new: 2s, established: 5s, closing: 1s, udp: 1s } }
pools:
  web:
    tableSize: 251
    backends:
      - { name: one, address: 10.0.0.21, weight: 2 }
      - { name: two, address: "fd00::22" }
      - { name: three, address: 10.0.0.23 }
  dns:
    tableSize: 7
    backends: [{ name: four, address: 10.0.0.24 }]
  empty: { backends: [] }
vips:
  - { name: web, address: 10.99.0.1, port: [80, 443], pool: web, forward: gre }
  - { name: web6, address: "2001:db8::1", protocol: any, port: 80, pool: web }
  - { name: dns, address: 10.99.0.53, protocol: udp, port: 53, pool: dns, echo: false }
  - { name: empty, address: 10.99.0.1, protocol: udp, port: 80, pool: empty }
`;
const PACKETS = 4000;

const directory = mkdtempSync(join(tmpdir(), "guideway-replay-"));
const at = (name: string) => join(directory, name);
const config = at("lb.yaml");
const input = at("in.pcap");
writeFileSync(config, CONFIG);

/** Seconds and nanoseconds of a time, from any start. */
function stamp(clockMs: number): { seconds: number; fraction: number } {
  return { seconds: 1_700_000_000 + Math.floor(clockMs / 1000), fraction: (clockMs % 1000) * 1_000_000 };
}

/** Valid and hostile packets, the same on every run. */
const setup = offlineSetup(parse(CONFIG));
const mixed = fc
  .sample(traffic(setup, hostilePacket(setup), PACKETS), { numRuns: 20, seed: 5 })
  .reduce((longest, each) => (each.length > longest.length ? each : longest))
  // The engine's clock starts with the first packet.
  .map((each, _, [first]) => ({ ...each, clockMs: each.clockMs - first!.clockMs }));
writeFileSync(
  input,
  capture(
    mixed.map(({ bytes, clockMs }) => ({ bytes, ...stamp(clockMs) })),
    { nanoseconds: true, littleEndian: false },
  ),
);

const syn = packet()
  .ethernet()
  .ipv4({ src: "192.0.2.1", dst: "10.99.0.1" })
  .tcp({ dport: 80, flags: "S" })
  .bytes();

function replay(file: string, ...options: string[]) {
  return guideway(["replay", file, "--config", config, ...options]);
}

/** Replays records into out.pcap and out.jsonl. */
function replayRecords(records: CaptureRecord[], ...options: string[]) {
  writeFileSync(at("small.pcap"), capture(records));
  const ended = replay(
    at("small.pcap"),
    "--out",
    at("out.pcap"),
    "--verdicts",
    at("out.jsonl"),
    "--json",
    ...options,
  );
  return { ...ended, summary: JSON.parse(ended.stdout) as ReplaySummary };
}

function linesOf(file: string): VerdictLine[] {
  const text = readFileSync(file, "utf8");
  assert.ok(text === "" || text.endsWith("\n"));
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as VerdictLine);
}

async function packetsOf(file: string) {
  const reader = await openPcap(file);
  const packets = [];
  for await (const batch of reader.batches()) packets.push(...batch);
  return { header: reader.header, packets };
}

const outputs = () => readdirSync(directory).filter((name) => name.includes("out"));

suite("guideway replay", () => {
  after(() => rmSync(directory, { recursive: true }));
  afterEach(() => {
    for (const name of outputs()) rmSync(at(name));
  });

  test(`${mixed.length} mixed packets: what the model decides, byte for byte`, async () => {
    const { status, stdout, stderr } = replay(
      input,
      "--out",
      at("out.pcap"),
      "--verdicts",
      at("out.jsonl"),
      "--json",
    );
    assert.equal(stderr, "");
    assert.equal(status, 0);
    const model = new Model(setup);
    const outcomes = mixed.map(({ bytes, clockMs }) => model.process(bytes, clockMs));
    model.flush();
    const expected = outcomes.map((outcome, i) => ({ clockMs: mixed[i]!.clockMs, ...outcome }));
    const verdicts = expected.map(({ verdict, reason, vip, backend, tracked }, index) => ({
      index,
      verdict,
      reason,
      vip: vip ?? null,
      backend: backend ?? null,
      tracked,
    }));
    assert.deepEqual(linesOf(at("out.jsonl")), verdicts);
    const { header, packets } = await packetsOf(at("out.pcap"));
    assert.equal(header.nanoseconds, true);
    const left = expected.flatMap(({ out, fragments = [], clockMs }) =>
      out === undefined ? [] : [out, ...fragments].map((bytes) => ({ out: bytes, clockMs })),
    );
    assert.equal(packets.length, left.length);
    for (const [i, { bytes, originalBytes, seconds, fraction }] of packets.entries()) {
      const { out, clockMs } = left[i]!;
      assert.deepEqual(Buffer.from(bytes), Buffer.from(out), decode(out).join("\n"));
      assert.equal(originalBytes, bytes.length);
      assert.deepEqual({ seconds, fraction }, stamp(clockMs));
    }
    assert.deepEqual(JSON.parse(stdout), summaryOf(verdicts));
  });

  /** The summary of a list of verdicts. */
  function summaryOf(lines: VerdictLine[]): ReplaySummary {
    const count = (verdict: string) => lines.filter((line) => line.verdict === verdict).length;
    const counts = (values: (string | null)[]) =>
      Object.fromEntries([...Map.groupBy(values, (each) => each!)].map(([name, all]) => [name, all.length]));
    return {
      packets: lines.length,
      forwarded: count("forward"),
      replied: count("reply"),
      passed: count("pass"),
      dropped: count("drop"),
      reasons: counts(lines.map(({ reason }) => reason)),
      vips: Object.fromEntries(
        [...Map.groupBy(lines, ({ vip }) => vip)]
          .filter(([vip]) => vip !== null)
          .map(([vip, all]) => [vip, counts(all.map(({ reason }) => reason))]),
      ),
      backends: counts(lines.filter(({ verdict }) => verdict === "forward").map(({ backend }) => backend)),
    };
  }

  test("the same bytes again, and with 2 and with 4 workers", () => {
    const runs = ["1", "1", "2", "4"].map((workers) => {
      const { status, stdout } = replay(
        input,
        "--out",
        at("out.pcap"),
        "--verdicts",
        at("out.jsonl"),
        "--json",
        "--workers",
        workers,
      );
      assert.equal(status, 0);
      return { stdout, pcap: readFileSync(at("out.pcap")), verdicts: readFileSync(at("out.jsonl")) };
    });
    for (const run of runs.slice(1)) assert.deepEqual(run, runs[0]);
    const summary = JSON.parse(runs[0]!.stdout) as ReplaySummary;
    const { packets, forwarded, replied, passed, dropped } = summary;
    const sum = (counts: Record<string, number>) =>
      Object.values(counts).reduce((total, each) => total + each, 0);
    assert.equal(packets, mixed.length);
    assert.equal(forwarded + replied + passed + dropped, packets);
    assert.equal(sum(summary.reasons), packets);
    assert.equal(sum(summary.backends), forwarded);
    for (const each of [forwarded, replied, passed, dropped]) assert.ok(each > 0, JSON.stringify(summary));
  });

  test("tcpdump reads what is written", {
    skip: spawnSync("tcpdump", ["--version"]).error !== undefined,
  }, () => {
    const { summary } = replayRecords(Array.from({ length: 3 }, (_, i) => ({ bytes: syn, seconds: i })));
    const { status, stdout } = spawnSync("tcpdump", ["-nn", "-r", at("out.pcap")], { encoding: "utf8" });
    assert.equal(status, 0);
    assert.equal(stdout.trim().split("\n").length, summary.forwarded);
    assert.match(stdout, /10\.0\.0\.11 > 10\.0\.0\.2\d: GREv0|fd00::11 > fd00::22: GREv0/);
  });

  test("microseconds stay microseconds", async () => {
    replayRecords([{ bytes: syn, seconds: 1, fraction: 999_999 }]);
    const { header, packets } = await packetsOf(at("out.pcap"));
    assert.equal(header.nanoseconds, false);
    assert.deepEqual([packets[0]!.seconds, packets[0]!.fraction], [1, 999_999]);
  });

  test("the clock is that of the capture", () => {
    const times = [0, 1.9, 3.8, 5.7, 5.7];
    replayRecords(
      times.map((time) => ({
        bytes: syn,
        seconds: 100 + Math.floor(time),
        fraction: Math.round((time % 1) * 1e6),
      })),
    );
    assert.deepEqual(
      linesOf(at("out.jsonl")).map(({ reason }) => reason),
      ["new", "hit", "hit", "hit", "hit"],
    );
    replayRecords([0, 3, 3].map((seconds) => ({ bytes: syn, seconds })));
    assert.deepEqual(
      linesOf(at("out.jsonl")).map(({ reason }) => reason),
      ["new", "new", "hit"],
    );
  });

  test("time that runs backwards stands still, with a warning", () => {
    const { stderr, summary } = replayRecords([3, 0, 4].map((seconds) => ({ bytes: syn, seconds })));
    assert.match(stderr, /^warning: the time of 1 packet of \S+ ran backwards: they count as simultaneous/);
    assert.deepEqual(summary.reasons, { hit: 2, new: 1 });
  });

  test("a packet that was captured in part is what was captured, with a warning", () => {
    const { stderr, summary } = replayRecords([{ bytes: syn.slice(0, 40), original: 54 }, { bytes: syn }]);
    assert.match(stderr, /^warning: 1 packet of \S+ was captured in part and processed as captured/);
    assert.deepEqual(summary.reasons, { new: 1, "bad-length": 1 });
  });

  test("a packet larger than a frame", () => {
    const { summary } = replayRecords([{ bytes: new Uint8Array(1793) }, { bytes: new Uint8Array(0) }]);
    assert.deepEqual(summary.reasons, { truncated: 1, oversized: 1 });
  });

  test("a capture without packets", async () => {
    const { status, summary } = replayRecords([]);
    assert.equal(status, 0);
    assert.deepEqual(summary, {
      packets: 0,
      forwarded: 0,
      replied: 0,
      passed: 0,
      dropped: 0,
      reasons: {},
      vips: {},
      backends: {},
    });
    assert.deepEqual((await packetsOf(at("out.pcap"))).packets, []);
    assert.deepEqual(linesOf(at("out.jsonl")), []);
  });

  test("backends of the same name in two pools are told apart", () => {
    const file = at("twins.yaml");
    writeFileSync(
      file,
      `pools:
  web: { tableSize: 2, backends: [{ name: one, address: 10.0.0.21 }] }
  dns: { tableSize: 2, backends: [{ name: one, address: 10.0.0.22 }] }
  ssh: { tableSize: 2, backends: [{ name: two, address: 10.0.0.23 }] }
vips:
  - { name: web, address: 10.99.0.1, port: 80, pool: web }
  - { name: dns, address: 10.99.0.1, port: 53, pool: dns }
  - { name: ssh, address: 10.99.0.1, port: 22, pool: ssh }
`,
    );
    const ip = packet().ethernet().ipv4({ src: "192.0.2.1", dst: "10.99.0.1" });
    writeFileSync(
      at("small.pcap"),
      capture([80, 53, 22].map((dport) => ({ bytes: ip.tcp({ dport, flags: "S" }).bytes() }))),
    );
    const { stdout } = guideway([
      "replay",
      at("small.pcap"),
      "-c",
      file,
      "-o",
      at("out.pcap"),
      "--verdicts",
      at("out.jsonl"),
      "--json",
    ]);
    assert.deepEqual((JSON.parse(stdout) as ReplaySummary).backends, { "web/one": 1, "dns/one": 1, two: 1 });
    assert.deepEqual(
      linesOf(at("out.jsonl")).map(({ backend }) => backend),
      ["web/one", "dns/one", "two"],
    );
  });

  test("for people: a table", () => {
    writeFileSync(at("small.pcap"), capture([{ bytes: syn }, { bytes: syn }, { bytes: new Uint8Array(14) }]));
    const { stdout, stderr } = replay(at("small.pcap"), "--out", at("out.pcap"));
    assert.equal(stderr, "");
    assert.match(
      stdout,
      /^PACKETS +3 +100\.0%\nforwarded +2 +66\.7%\nreplied +0 +0\.0%\npassed +1 +33\.3%\ndropped +0 +0\.0%\n\nREASONS\n/,
    );
    assert.match(stdout, /\n\nBACKENDS\n\w+ +2 +100\.0%\n$/);
  });

  test("standard input and standard output", () => {
    const args = ["replay", "-", "--config", config, "--out", "-", "--json"];
    const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
      input: capture([{ bytes: syn }]),
    });
    assert.equal(status, 0);
    assert.equal(stdout.subarray(0, 4).toString("hex"), "d4c3b2a1");
    assert.equal((JSON.parse(stderr.toString()) as ReplaySummary).forwarded, 1);
    writeFileSync(at("small.pcap"), capture([{ bytes: syn }]));
    const lines = replay(at("small.pcap"), "--out", at("out.pcap"), "--verdicts", "-", "--json");
    assert.equal((JSON.parse(lines.stdout) as VerdictLine).verdict, "forward");
    assert.equal((JSON.parse(lines.stderr) as ReplaySummary).packets, 1);
  });
});
