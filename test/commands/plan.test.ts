import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { stringify } from "yaml";
import type { Plan } from "../../src/plan/plan.ts";
import type { VerdictLine } from "../../src/replay/replay.ts";
import { capture } from "../io/captures.ts";
import { packet } from "../packets/packet.ts";
import { numbered, webDocument } from "../plan/documents.ts";
import { guideway } from "./guideway.ts";

const FLOWS = 100_000;
const directory = mkdtempSync(join(tmpdir(), "guideway-plan-"));
after(() => rmSync(directory, { recursive: true }));
const at = (name: string) => join(directory, name);

function write(name: string, document: object | string): string {
  writeFileSync(at(name), typeof document === "string" ? document : stringify(document));
  return at(name);
}

const hundred = webDocument(numbered(100), { tableSize: 65_537, vip: { port: [80, 443] } });
const without = webDocument(numbered(100).toSpliced(36, 1), { tableSize: 65_537, vip: { port: [80, 443] } });
const [old, next] = [write("old.yaml", hundred), write("next.yaml", without)];

function planJson(...args: string[]): Plan {
  const { status, stdout, stderr } = guideway(["plan", ...args, "--json"]);
  assert.equal(stderr, "");
  assert.equal(status, 0);
  return JSON.parse(stdout) as Plan;
}

/** A capture of flows to both ports, most with one packet, some with two, and of other packets among them. */
function writeFlows(name: string): string {
  const syn = packet().ethernet().ipv4({ src: "192.0.2.1", dst: "10.99.0.1" }).tcp({ dport: 80, flags: "S" });
  const stranger = packet()
    .ethernet()
    .ipv4({ src: "192.0.2.1", dst: "10.99.0.9" })
    .tcp({ dport: 80 })
    .bytes();
  const template = syn.bytes();
  const records = [];
  for (let i = 0; i < FLOWS; i++) {
    const bytes = Buffer.from(template);
    // Source address and port, and every other flow to port 443. Checksums are the backend's business.
    bytes.writeUInt32BE((0x0b000000 + Math.imul(i, 7919)) >>> 0, 26);
    bytes.writeUInt16BE(1024 + (i % 50_000), 34);
    if (i % 2 === 1) bytes.writeUInt16BE(443, 36);
    records.push({ bytes });
    if (i % 10 === 0) records.push({ bytes });
    if (i % 1000 === 0) records.push({ bytes: stranger });
  }
  writeFileSync(at(name), capture(records));
  return at(name);
}

/** The backend of each packet of a capture, as replay decides. */
function replayed(pcap: string, config: string): (string | null)[] {
  const args = ["replay", pcap, "--config", config, "--out", at("out.pcap"), "--verdicts", at("out.jsonl")];
  const { status, stderr } = guideway(args);
  assert.equal(stderr, "");
  assert.equal(status, 0);
  return readFileSync(at("out.jsonl"), "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as VerdictLine).backend);
}

suite("guideway plan", () => {
  test(`one of 100 backends goes: of ${FLOWS} flows move those that replay shows elsewhere`, () => {
    const pcap = writeFlows("flows.pcap");
    const [first, second] = [replayed(pcap, old), replayed(pcap, next)];
    // Each flow once: the packets behind the first of a flow follow it in the capture.
    const packets = [...first.keys()].filter((i) => first[i] !== null);
    const pairs = new Map<number, [string | null, string | null]>();
    let flow = -1;
    for (const [index, each] of packets.entries()) {
      // Of every 10 flows the first has two packets.
      if (index % 11 !== 1) flow++;
      pairs.set(flow, [first[each]!, second[each]!]);
    }
    assert.equal(pairs.size, FLOWS);
    const moved = [...pairs.values()].filter(([from, to]) => from !== to);
    const { vips, sample } = planJson(old, next, "--pcap", pcap);
    const { flows, flowsMoved, slotsMoved, moves } = vips[0]!;
    assert.deepEqual(sample, { source: pcap, flows: FLOWS });
    assert.equal(flows, FLOWS);
    const shown = `plan ${flowsMoved}, replay ${moved.length / FLOWS}, slots ${slotsMoved}`;
    assert.ok(Math.abs(flowsMoved - moved.length / FLOWS) < 1e-9, shown);
    assert.ok(Math.abs(slotsMoved - moved.length / FLOWS) < 0.001, shown);
    const matrix = Map.groupBy(moved, ([from, to]) => `${from} > ${to}`);
    for (const { from, to, flows } of moves)
      assert.equal(Math.round(flows * FLOWS), matrix.get(`${from} > ${to}`)?.length ?? 0, `${from} > ${to}`);
    // Without the capture: generated flows, with what chance adds.
    const generated = planJson(old, next).vips[0]!.flowsMoved;
    assert.ok(Math.abs(generated - moved.length / FLOWS) < 0.002, `generated ${generated}, ${shown}`);
  });

  test("the JSON object", () => {
    const plan = planJson(old, next);
    assert.deepEqual(Object.keys(plan), ["vips", "moved", "changes", "restart", "pools", "sample"]);
    const [vip] = plan.vips;
    assert.deepEqual(Object.keys(vip!), [
      "name",
      "nameBefore",
      "change",
      "pools",
      "slotsMoved",
      "flowsMoved",
      "flows",
      "shares",
      "sharesBefore",
      "moves",
    ]);
    assert.deepEqual([vip!.name, vip!.change], ["web", "changed"]);
    assert.deepEqual(Object.keys(vip!.moves[0]!), ["from", "to", "slots", "flows"]);
    assert.equal(plan.moved, Math.max(vip!.slotsMoved, vip!.flowsMoved));
    assert.deepEqual(plan.restart, []);
    assert.deepEqual(planJson(old, old).moved, 0);
  });

  test("for people: what moves, from where to where, shares, changes", () => {
    const backends = numbered(3).map((each) => ({ ...each, weight: each.name === "web-1" ? 0 : 1 }));
    const few = write("few.yaml", webDocument(numbered(3)));
    const fewer = write("fewer.yaml", { ...webDocument(backends), workers: { batch: 2 } });
    const { status, stdout, stderr } = guideway(["plan", few, fewer]);
    assert.deepEqual([status, stderr], [0, ""]);
    assert.match(stdout, /^1 of 1 VIP changed; tried on 100,000 flows, generated\n/);
    assert.match(stdout, /^VIP +POOL +SLOTS MOVED +FLOWS MOVED\nweb +changed +web +3\d\.\d\d% +3\d\.\d\d%$/m);
    assert.match(stdout, /^ {2}web-1 +web-[23] +1\d\.\d\d% +1\d\.\d\d%$/m);
    assert.match(stdout, /^ {2}web-1 +33\.\d\d% +0\.00%$/m);
    assert.match(stdout, /^ {2}pools\.web\.backends\.web-1\.weight +1 > 0$/m);
    assert.match(stdout, /^ {2}workers\.batch +64 > 2 +needs a restart$/m);
    assert.match(stdout, /\n1 change of these only by a restart\.\n$/);
    assert.match(guideway(["plan", few, few]).stdout, /\n\nThe configurations mean the same\.\n$/);
  });

  test("--max-moved: 1 above it, and says which VIP", () => {
    const above = guideway(["plan", old, next, "--max-moved", "1%"]);
    assert.equal(above.status, 1);
    assert.match(above.stdout, /^1 of 1 VIP changed/);
    assert.match(
      above.stderr,
      /^more would move than --max-moved 1\.00% allows:\nVIP web: 1\.\d\d% of slots, 1\.\d\d% of flows\n/,
    );
    assert.equal(guideway(["plan", old, next, "--max-moved", "5%"]).status, 0);
    assert.equal(guideway(["plan", old, old, "--max-moved", "0%"]).status, 0);
    const none = write("none.yaml", { ...hundred, vips: [] });
    assert.match(guideway(["plan", old, none, "--max-moved", "99.5%"]).stderr, /VIP web: 100\.00% of slots/);
  });

  test("errors of both files at once, with 2", () => {
    const [one, two] = [
      write("one.yaml", "pools: 5\nvips: []\n"),
      write("two.yaml", "pools: {}\nvisp: []\n"),
    ];
    const { status, stdout, stderr } = guideway(["plan", one, two, "--json"]);
    assert.deepEqual([status, stdout], [2, ""]);
    assert.match(stderr, /one\.yaml:1:8: pools: 5 is a single value/);
    assert.match(stderr, /two\.yaml:2:1: visp: unknown key "visp", did you mean "vips"\?/);
    const absent = guideway(["plan", at("absent.yaml"), next]);
    assert.equal(absent.status, 2);
    assert.match(absent.stderr, /absent\.yaml: there is no such file/);
  });

  const misuses: [args: string[], says: RegExp][] = [
    [[], /missing required argument 'files'/],
    [[old], /1 files are named, expected two: OLD and NEW/],
    [[old, next, next], /3 files are named, expected two/],
    [["--live", old, next], /2 files are named, expected one: NEW/],
    [[old, next, "--max-moved", "0.05"], /Expected a percentage from 0% to 100%, such as 5%/],
    [[old, next, "--max-moved", "101%"], /Expected a percentage/],
  ];
  for (const [args, says] of misuses) {
    test(`refused, with 2: plan ${args.map((each) => each.replace(`${directory}/`, "")).join(" ")}`, () => {
      const { status, stdout, stderr } = guideway(["plan", ...args]);
      assert.deepEqual([status, stdout], [2, ""]);
      assert.match(stderr, says);
    });
  }

  test("a capture that is none, and one without flows", () => {
    const none = guideway(["plan", old, next, "--pcap", old]);
    assert.equal(none.status, 1);
    assert.match(none.stderr, /expected a classic pcap file/);
    writeFileSync(at("empty.pcap"), capture([]));
    const empty = guideway(["plan", old, next, "--pcap", at("empty.pcap")]);
    assert.equal(empty.status, 0);
    assert.match(empty.stderr, /^warning: .*empty\.pcap has no flow of a VIP\n$/);
    assert.match(empty.stdout, /web +changed +web +1\.\d\d% +-$/m);
  });

  test("--live where nothing runs: 1, and says what to do", () => {
    const { status, stderr } = guideway(["plan", "--live", "--socket", at("none.sock"), next]);
    assert.equal(status, 1);
    assert.match(stderr, /no guideway answers on .*none\.sock .*guideway run/);
  });
});
