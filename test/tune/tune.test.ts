// `guideway tune` as its users have it, with few rounds: what it measures, says, draws and writes; never how fast it is.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { PLOTS } from "../../bench/plots/charts.ts";
import { newestOf } from "../../bench/plots/results.ts";
import { parseConfig } from "../../src/config/load.ts";
import { FlowTemplate } from "../../src/io/flow-template.ts";
import { encodePcapHeader, encodePcapRecords } from "../../src/io/pcap.ts";
import type { TuneResult } from "../../src/tune/tune.ts";
import { guideway } from "../commands/guideway.ts";

const CONFIG = `# lb-1
conntrack: { flows: 2000 }
pools: { web: { tableSize: 251, backends: [{ address: 10.0.0.21 }, { address: 10.0.0.22 }] } }
vips:
  - { name: web, address: 10.99.0.1, port: [80, 443], pool: web, guard: { packetsPerSecond: { limit: 1 } } }
  - { name: many, address: "fd99::/64", port: 8000-8099, protocol: any, pool: web }
`;
const QUICK = ["--turns", "3", "--rounds", "2"];
const FEW = [...QUICK, "--workers", "1,2", "--batch", "16,64", "--pin", "no"];

/** A capture of TCP packets to a service. */
function capture(file: string, address: string, packets: number): void {
  const template = new FlowTemplate(
    { address, protocol: "tcp", port: 80 },
    Buffer.from("02bb00000001", "hex"),
    64,
  );
  const words = new Uint32Array(16);
  const records = Array.from({ length: packets }, (_, flow) => {
    template.write(words, new Uint16Array(words.buffer), 0, flow, false);
    return { bytes: new Uint8Array(words.buffer.slice(0)), originalBytes: 64, seconds: 1, fraction: flow };
  });
  writeFileSync(file, Buffer.concat([encodePcapHeader(false), encodePcapRecords(records)]));
}

suite("tune", () => {
  let folder: string;
  let config: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "guideway-tune-"));
    config = join(folder, "lb.yaml");
    writeFileSync(config, CONFIG);
  });
  after(() => rmSync(folder, { recursive: true }));
  const tune = (...args: string[]) => guideway(["tune", "-c", config, ...args]);

  test("measures every setting, recommends one of them, draws all of them and writes it", () => {
    const svg = join(folder, "curve.svg");
    const { status, stdout, stderr } = tune(...FEW, "--json", "--svg", svg, "--write");
    assert.equal(status, 0, stderr);
    const result = JSON.parse(stdout) as TuneResult & { reason: string[] };
    assert.deepEqual(
      result.rows.map(({ workers, batch, pinned }) => [workers, batch, pinned]),
      [1, 2].flatMap((workers) => [16, 64].map((batch) => [workers, batch, false])),
    );
    for (const { mpps, low, high, ratio, ratioLow, ratioHigh } of result.rows) {
      assert.ok(mpps > 0 && low <= mpps && mpps <= high);
      assert.ok(ratio > 0 && ratioLow <= ratio && ratio <= ratioHigh);
    }
    assert.equal(result.best.mpps, Math.max(...result.rows.map(({ mpps }) => mpps)));
    assert.equal(result.best.ratio, 1);
    assert.ok(result.rows.some((each) => JSON.stringify(each) === JSON.stringify(result.knee)));
    assert.equal(result.turns, 3);
    // What the plots of the docs are drawn from.
    writeFileSync(join(folder, "2026-01-01-tune.json"), stdout);
    const [plot] = PLOTS.tune!(newestOf("tune", folder)!);
    assert.deepEqual(
      plot!.chart.series.map(({ name, points }) => [name, points.map(({ x }) => x)]),
      [
        ["1 worker", [16, 64]],
        ["2 workers", [16, 64]],
      ],
    );
    assert.match(result.traffic, /^2,000 generated flows to 2 VIPs$/);
    assert.match(result.reason[0]!, /^Recommended: [12] workers?, batches of (16|64)\.$/);
    const drawn = readFileSync(svg, "utf8");
    assert.equal(drawn.match(/<circle class="f/g)!.length, 4);
    assert.equal(drawn.match(/<polyline/g)!.length, 2);
    assert.match(drawn, />knee</);
    const written = readFileSync(config, "utf8");
    assert.ok(written.startsWith(CONFIG));
    const { workers } = parseConfig(written, config).config;
    assert.deepEqual(
      [workers.count, workers.batch, workers.cpus],
      [result.knee.workers, result.knee.batch, undefined],
    );
    writeFileSync(config, CONFIG);
  });

  test("for people: a line for each setting, and why", () => {
    const { status, stdout, stderr } = tune(...QUICK, "--workers", "1", "--batch", "32", "--pin", "no");
    assert.equal(status, 0, stderr);
    assert.match(
      stdout,
      /^workers +batch +pinned +Mpps +95% interval +of best\n +1 +32 +no .*100\.0% +█{40} ◀ knee\n/,
    );
    assert.match(stdout, /Recommended: 1 worker, batches of 32\.\nIt is the fastest with/);
    assert.equal(readFileSync(config, "utf8"), CONFIG);
  });

  test("packets of a capture", () => {
    const file = join(folder, "in.pcap");
    capture(file, "10.99.0.1", 500);
    const { status, stdout, stderr } = tune(...FEW, "--json", "--pcap", file);
    assert.equal(status, 0, stderr);
    const { traffic, rows } = JSON.parse(stdout) as TuneResult;
    assert.equal(traffic, `500 packets of ${file}, those for a VIP`);
    assert.equal(rows.length, 4);
  });

  test("what cannot be measured is refused", () => {
    const foreign = join(folder, "foreign.pcap");
    capture(foreign, "192.0.2.1", 3);
    const cases: [args: string[], message: RegExp, status: number][] = [
      [["--workers", "0"], /Expected an integer from 1 to 32/, 2],
      [["--batch", "65"], /Expected an integer from 1 to 64/, 2],
      [["--pin", "maybe"], /Expected yes, no or yes,no/, 2],
      [["--tolerance", "90%"], /Expected a percentage from 0% to 50%/, 2],
      [["--turns", "1"], /Expected an integer from 3 to 1000/, 2],
      [["--pcap", foreign, ...FEW], /foreign\.pcap has no packet for a VIP/, 2],
      [["--pcap", foreign, "--flows", "5"], /expected one of them/, 2],
      [["--pcap", join(folder, "none.pcap")], /there is no such file/, 1],
      [["--workers", "32", "--pin", "yes"], /CPUs to pin to for 32 workers/, 2],
    ];
    for (const [args, message, expected] of cases) {
      const { status, stderr } = tune(...args);
      assert.match(stderr, message);
      assert.equal(status, expected, stderr);
    }
  });

  test("VIPs that refuse the generated sources: their reasons are told", () => {
    writeFileSync(config, CONFIG.replace("guard: {", 'guard: { deny: ["198.18.0.0/15"],'));
    const { status, stderr } = tune(...FEW);
    writeFileSync(config, CONFIG);
    assert.equal(status, 1);
    assert.match(stderr, /denied [\d,]+.*give --pcap/);
  });
});
