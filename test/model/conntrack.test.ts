import assert from "node:assert/strict";
import { test } from "node:test";
import * as layout from "../../assembly/layout.ts";
import { Conntrack } from "./conntrack.ts";

const FIN = 0x01;
const SYN = 0x02;
const RST = 0x04;
const ACK = 0x10;

const timeoutsMs = { new: 16_000, established: 160_000, closing: 32_000, udp: 32_000 };

function conntrack(options: { eager?: boolean; dead?: Set<number> } = {}): Conntrack {
  const { eager = false, dead = new Set() } = options;
  return new Conntrack({ shardLines: 256, timeoutsMs, eager }, (id) => !dead.has(id));
}

/** The key of flow `n` whose home is the given line of shard 0. */
const key = (n: number, line = 4) => (BigInt(n) << 48n) | (BigInt(n) << 16n) | BigInt(line << 8);

test("a flow is found again, by its own key only", () => {
  const table = conntrack();
  assert.equal(table.hit(key(1), SYN), undefined);
  assert.deepEqual(table.insert(key(1), 9, SYN), { track: layout.TRACK_INSERTED, backend: 9 });
  assert.deepEqual(table.hit(key(1), ACK), { track: layout.TRACK_HIT, backend: 9 });
  assert.equal(table.hit(key(2), ACK), undefined);
  assert.equal(table.hit(key(1, 5), ACK), undefined, "the neighbour's flow of the same fingerprint");
});

test("an entry lives for its timeout and less than a sixteenth more", () => {
  for (const eager of [false, true]) {
    const table = conntrack({ eager });
    table.insert(key(1), 9, SYN);
    table.advance(16_992);
    assert.ok(table.hit(key(1), SYN), "tick 16");
    table.advance(33_008);
    assert.equal(table.hit(key(1), SYN), undefined, "17 ticks after tick 16");
  }
});

test("an age does not come around", () => {
  const table = conntrack();
  table.insert(key(1), 9, SYN);
  table.advance(64_000);
  assert.equal(table.hit(key(1), ACK), undefined);
  assert.equal(table.insert(key(1), 9, SYN).track, layout.TRACK_INSERTED);
});

test("the clock moves in steps of 16 ms, and not backwards", () => {
  const early = conntrack();
  early.advance(992);
  early.insert(key(1), 9, SYN);
  early.advance(17_007);
  assert.ok(early.hit(key(1), SYN), "16,992 is in tick 16");
  const late = conntrack();
  late.advance(1007);
  late.insert(key(1), 9, SYN);
  late.advance(17_008);
  assert.equal(late.hit(key(1), SYN), undefined, "992 is in tick 0");
  late.advance(0);
  assert.equal(late.hit(key(1), SYN), undefined);
});

test("states follow TCP flags", () => {
  const lifetimes = (flags: number[]) => {
    const table = conntrack();
    table.insert(key(1), 9, flags[0]);
    for (const flag of flags.slice(1)) table.hit(key(1), flag);
    const ages = [17_008, 34_016, 170_016].filter((ms) => {
      const probe = conntrack();
      probe.insert(key(1), 9, flags[0]);
      for (const flag of flags.slice(1)) probe.hit(key(1), flag);
      probe.advance(ms);
      return probe.hit(key(1), 0) !== undefined;
    });
    return `${ages.length}${table.activeFlows(9) ? "" : " closing"}`;
  };
  assert.equal(lifetimes([SYN]), "0");
  assert.equal(lifetimes([SYN, SYN | ACK]), "0", "a client does not send that");
  assert.equal(lifetimes([SYN, ACK]), "2", "established");
  assert.equal(lifetimes([ACK]), "0", "from the middle: new until the next");
  assert.equal(lifetimes([ACK, ACK]), "2");
  assert.equal(lifetimes([SYN, ACK, SYN]), "2", "a SYN does not reopen what is established");
  assert.equal(lifetimes([SYN, ACK, FIN | ACK]), "1 closing");
  assert.equal(lifetimes([SYN, ACK, RST]), "1 closing");
  assert.equal(lifetimes([SYN, ACK, FIN | ACK, ACK]), "1 closing", "the last ACK");
  assert.equal(lifetimes([SYN, ACK, FIN | ACK, SYN | RST]), "1 closing");
  assert.equal(lifetimes([SYN | FIN]), "1 closing");
  assert.equal(lifetimes([RST]), "1 closing");
});

test("ports that are used again begin a new flow in the old way", () => {
  const table = conntrack();
  for (const flags of [SYN, FIN | ACK]) table.insert(key(1), 9, flags);
  table.hit(key(1), FIN | ACK);
  assert.equal(table.hit(key(1), SYN), undefined);
  assert.equal(table.insert(key(1), 7, SYN).track, layout.TRACK_REPLACED);
  assert.equal(table.hit(key(1), ACK)?.backend, 7);
  assert.equal(table.activeFlows(9), 0);
});

test("an entry of a backend that died is replaced where it is", () => {
  const dead = new Set<number>();
  const table = conntrack({ dead });
  for (let n = 1; n <= 8; n++) table.insert(key(n), 9, SYN);
  dead.add(9);
  assert.equal(table.hit(key(8), ACK), undefined);
  assert.equal(table.insert(key(8), 7, ACK).track, layout.TRACK_REPLACED);
  assert.equal(table.hit(key(8), ACK)?.track, layout.TRACK_HIT_AWAY);
});

test("seven flows at home, seven next door, then the oldest one not established goes", () => {
  const table = conntrack();
  const tracks = Array.from({ length: 14 }, (_, i) => {
    table.advance(i * 1000);
    return table.insert(key(i + 1), i + 1, SYN).track;
  });
  assert.deepEqual(tracks, [
    ...Array(7).fill(layout.TRACK_INSERTED),
    ...Array(7).fill(layout.TRACK_INSERTED_AWAY),
  ]);
  table.hit(key(1), ACK);
  assert.equal(table.insert(key(15), 15, SYN).track, layout.TRACK_EVICTED);
  assert.ok(table.hit(key(1), ACK), "the oldest is established");
  assert.equal(table.hit(key(2), ACK), undefined, "the next oldest went");
  assert.equal(table.hit(key(15), ACK)?.track, layout.TRACK_HIT);
});

test("of ways equally old the earliest goes, home before neighbour; established ones by age too", () => {
  const table = conntrack();
  for (let n = 1; n <= 14; n++) {
    table.insert(key(n), n, SYN);
    table.hit(key(n), ACK);
  }
  table.insert(key(15, 5), 15, SYN);
  assert.equal(table.hit(key(8), ACK), undefined, "line 5 is home now, and flow 8 its first way");
  table.advance(10_000);
  for (let n = 1; n <= 14; n++) if (n !== 5) table.hit(key(n), ACK);
  table.hit(key(15, 5), ACK);
  table.insert(key(16), 16, SYN);
  assert.equal(table.hit(key(5), ACK), undefined);
});

test("an expired way is as good as an empty one", () => {
  for (const eager of [false, true]) {
    const table = conntrack({ eager });
    for (let n = 1; n <= 14; n++) table.insert(key(n), n, n === 3 ? SYN : undefined);
    table.advance(17_008);
    assert.equal(table.insert(key(20), 20, SYN).track, layout.TRACK_INSERTED);
    assert.equal(table.insert(key(21), 21, SYN).track, layout.TRACK_EVICTED);
  }
});

test("active flows are those not closing and not expired", () => {
  const table = conntrack();
  table.insert(key(1), 9, SYN);
  table.insert(key(2), 9, undefined);
  table.insert(key(3), 9, RST);
  table.insert(key(4), 8, SYN);
  assert.equal(table.activeFlows(9), 2);
  table.advance(17_008);
  assert.equal(table.activeFlows(9), 1);
});
