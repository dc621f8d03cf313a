// The connection table's rules (docs/datapath.md §3) where it is crowded: exactness, overflow, eviction, expiry.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { stringify } from "yaml";
import * as L from "../../assembly/layout.ts";
import { parseConfig } from "../../src/config/load.ts";
import { OfflineEngine, type OfflineResult } from "../../src/io/offline.ts";
import {
  crowd,
  type Flow,
  flowsAt,
  homeOf,
  LIKENESSES,
  nthFlow,
  packetOf,
  type Service,
  twins,
} from "./collisions.ts";
import { activeFlows, countedEntries, entries, isOf } from "./entries.ts";

/** Ticks of 1 s, 10 s, 2 s and 2 s. */
const timeouts = { new: "16s", established: "160s", closing: "32s", udp: "32s" };
const BACKENDS = 4;
const ENUMERATED = 500_000;

const { config } = parseConfig(
  stringify({
    conntrack: { flows: 1, timeouts },
    pools: {
      web: {
        tableSize: 7,
        backends: Array.from({ length: BACKENDS }, (_, i) => ({
          name: `b${i + 1}`,
          address: `10.0.0.2${i + 1}`,
        })),
      },
    },
    vips: [
      { name: "web", address: "10.99.0.1", port: 80, pool: "web" },
      { name: "dns", address: "10.99.0.1", protocol: "udp", port: 53, pool: "web" },
      { name: "web6", address: "fd99::1", port: 80, pool: "web" },
    ],
  }),
  "conntrack.yaml",
);
const TCP: Service = { number: 2, address: "10.99.0.1", protocol: "tcp", port: 80 };
const UDP: Service = { number: 3, address: "10.99.0.1", protocol: "udp", port: 53 };
const TCP6: Service = { number: 5, address: "fd99::1", protocol: "tcp", port: 80 };

/** An engine whose table gives every new flow to the backend that was named last. */
class Crowd {
  readonly engine = new OfflineEngine(config, { inline: true });
  #timeMs = 0;

  constructor() {
    for (const { number, address, protocol, port } of [TCP, UDP, TCP6]) {
      const found = this.engine.engine.directory.services.find((service) => service.number === number);
      assert.ok(found, `service ${number}: ${address} ${protocol} ${port}`);
    }
  }

  /** New flows go to this backend from now on; the others keep theirs. */
  only(id: number): this {
    for (let each = 1; each <= BACKENDS; each++) {
      const { directory } = this.engine.engine;
      if (directory.backends[each]!.state === "dead") continue;
      directory.setBackendState(each, each === id ? "active" : "draining");
    }
    return this;
  }

  at(seconds: number): this {
    this.#timeMs = seconds * 1000;
    return this;
  }

  async send(flow: Flow, flags?: string): Promise<OfflineResult> {
    const [result] = await this.engine.process([{ bytes: packetOf(flow, flags), timeMs: this.#timeMs }]);
    assert.equal(result!.key, flow.key, "the engine has the model's key");
    return result!;
  }

  /** What happened to a packet of each, e.g. `hit 2`: track and backend. */
  async tracks(flows: Flow[], flags?: string): Promise<string[]> {
    const results: string[] = [];
    for (const flow of flows) {
      const { track, backend } = await this.send(flow, flags);
      results.push(`${track} ${backend}`);
    }
    return results;
  }

  /** Which of the flows are in the table. */
  present(flows: Flow[]): Flow[] {
    const all = entries(this.engine.engine.arena);
    return flows.filter((flow) => all.some((entry) => isOf(entry, flow)));
  }

  check(): void {
    const { counted, found } = activeFlows(this.engine.engine);
    assert.deepEqual(counted, found);
    assert.equal(countedEntries(this.engine.engine.arena), entries(this.engine.engine.arena).length);
  }
}

const repeat = (text: string, times: number) => Array<string>(times).fill(text);

let found: ReturnType<typeof crowd> | undefined;

/** Flows of two neighbouring lines: at least 18 at home, and at least 7 next door. */
function neighbours(): ReturnType<typeof crowd> {
  found ??= crowd(TCP, ENUMERATED);
  assert.ok(found.home.length >= 18, `${found.home.length} flows collide`);
  return found;
}

suite("connection table: exactness", () => {
  for (const alike of LIKENESSES) {
    test(`two flows that are stored with the same ${alike} are told apart`, async () => {
      const [one, other] = twins(TCP, alike);
      const table = new Crowd();
      assert.deepEqual(await table.only(1).tracks([one]), ["inserted 1"]);
      assert.deepEqual(await table.only(2).tracks([other]), ["inserted 2"]);
      assert.deepEqual(await table.only(3).tracks([one, other], "A"), ["hit 1", "hit 2"]);
    });
  }

  for (const first of ["the one at home", "the one away"]) {
    test(`two flows with the same entry in the same line, one of them away from home: ${first} is first`, async () => {
      const [home, away] = twins(TCP, "entry next door");
      const fillers = flowsAt(TCP, [homeOf(away.key)], 7);
      const table = new Crowd();
      await table.only(1).tracks(fillers);
      const steps = [
        [home, 2, "inserted 2"],
        [away, 3, "inserted-away 3"],
      ] as const;
      for (const [flow, backend, track] of first === "the one away" ? steps.toReversed() : steps) {
        assert.deepEqual(await table.only(backend).tracks([flow]), [track]);
      }
      const line = entries(table.engine.engine.arena).filter(({ place }) => place === homeOf(home.key));
      assert.deepEqual(
        line.map(({ away }) => away),
        first === "the one away" ? [true, false] : [false, true],
      );
      assert.equal(line[0]!.signature, line[1]!.signature);
      assert.equal(line[0]!.fingerprint, line[1]!.fingerprint);
      assert.deepEqual(await table.only(4).tracks([home, away], "A"), ["hit 2", "hit-away 3"]);
    });
  }

  test("14 flows of one home: seven at home, seven next door, each found with its own backend", async () => {
    const flows = neighbours().home.slice(0, 14);
    const table = new Crowd();
    for (const [i, flow] of flows.entries()) {
      const [track] = await table.only(1 + (i % BACKENDS)).tracks([flow]);
      assert.equal(track, `${i < 7 ? "inserted" : "inserted-away"} ${1 + (i % BACKENDS)}`);
    }
    for (let round = 0; round < 3; round++) {
      const expected = flows.map((_, i) => `${i < 7 ? "hit" : "hit-away"} ${1 + (i % BACKENDS)}`);
      assert.deepEqual(await table.tracks(flows, "A"), expected);
    }
    table.check();
  });

  test("flows of all services and families in the same two lines", async () => {
    const { home, next } = neighbours();
    const places = [homeOf(home[0]!.key), homeOf(next[0]!.key)];
    const others = [UDP, TCP6].flatMap((service) => flowsAt(service, places, 4));
    const flows = [home[0]!, next[0]!, ...others];
    assert.equal(flows.length, 10);
    const table = new Crowd();
    for (const [i, flow] of flows.entries()) await table.only(1 + (i % BACKENDS)).tracks([flow]);
    const backends = (await table.tracks(flows, "A")).map((text) => text.replace(/^hit(-away)? /, ""));
    assert.deepEqual(
      backends,
      flows.map((_, i) => String(1 + (i % BACKENDS))),
    );
    table.check();
  });
});

suite("connection table: overflow and eviction", () => {
  test("the neighbour's flows go home first, and overflow the other way", async () => {
    const { home, next } = neighbours();
    const table = new Crowd().only(1);
    assert.deepEqual(await table.tracks(next.slice(0, 7)), repeat("inserted 1", 7));
    assert.deepEqual(await table.tracks(home.slice(0, 7)), repeat("inserted 1", 7));
    // Both lines are full, everything is new, nothing is older than anything: the first way at home goes.
    assert.deepEqual(await table.tracks([home[7]!]), ["evicted 1"]);
    assert.deepEqual(table.present(home.slice(0, 8)), home.slice(1, 8));
    assert.deepEqual(table.present(next.slice(0, 7)), next.slice(0, 7));
    assert.deepEqual(await table.tracks([next[6]!], "A"), ["hit 1"]);
    table.check();
  });

  test("an empty way before any eviction, at home before next door", async () => {
    const { home } = neighbours();
    const table = new Crowd().only(1);
    await table.tracks(home.slice(0, 14));
    // Two expire: one next door that was reset long ago, and later one at home.
    await table.tracks([home[10]!], "R");
    await table.at(15).tracks(home.slice(0, 10));
    await table.tracks(home.slice(11, 14));
    await table.at(30).tracks(home.slice(0, 10));
    await table.tracks(home.slice(11, 14));
    assert.deepEqual(await table.at(36).tracks([home[14]!]), ["inserted-away 1"], "the one that was reset");
    await table.at(45).tracks(home.slice(1, 10));
    await table.tracks(home.slice(11, 15));
    assert.deepEqual(await table.at(48).tracks([home[15]!]), ["inserted 1"], "the silent one at home");
    assert.deepEqual(table.present(home.slice(0, 16)), [...home.slice(1, 10), ...home.slice(11, 16)]);
    table.check();
  });

  test("not established goes before established, then the oldest, then the first", async () => {
    const { home } = neighbours();
    const table = new Crowd().only(1);
    const flows = home.slice(0, 14);
    // One after the other, a tick apart; the eldest three and two others become established.
    for (const [i, flow] of flows.entries()) await table.at(i).tracks([flow]);
    const established = [flows[0]!, flows[1]!, flows[2]!, flows[8]!, flows[13]!];
    await table.tracks(established, "A");
    const newcomers = home.slice(14, 18);
    let left = flows;
    for (const [i, victim] of [flows[3]!, flows[4]!, flows[5]!].entries()) {
      assert.deepEqual(await table.tracks([newcomers[i]!]), ["evicted 1"]);
      left = left.filter((flow) => flow !== victim);
      assert.deepEqual(table.present(flows), left);
    }
    // Now all are established, and age decides: in ticks of ten seconds.
    const others = left.filter((flow) => !established.includes(flow));
    await table.at(20).tracks([...others, ...newcomers.slice(0, 3)], "A");
    await table.at(25).tracks(
      established.filter((flow) => flow !== flows[1]),
      "P",
    );
    assert.deepEqual(await table.tracks([newcomers[3]!]), ["evicted 1"]);
    assert.deepEqual(
      table.present(flows),
      left.filter((flow) => flow !== flows[1]),
    );
    table.check();
  });

  test("evictions are counted, and an evicted flow comes back as new", async () => {
    const { home } = neighbours();
    const table = new Crowd().only(1);
    await table.tracks(home.slice(0, 15));
    const { arena } = table.engine.engine;
    const at = arena.plan.regions.counters.offset + L.COUNTER_EVICTED;
    assert.equal(arena.u64[at / 8], 1n);
    assert.deepEqual(await table.only(2).tracks([home[0]!], "A"), ["evicted 2"]);
    assert.deepEqual(await table.only(3).tracks([home[0]!], "A"), ["hit 2"]);
    table.check();
  });

  test("a flow of a dead backend is replaced where it is, though there is room elsewhere", async () => {
    const { home } = neighbours();
    const table = new Crowd().only(1);
    const flows = home.slice(0, 9);
    await table.tracks(flows);
    const before = entries(table.engine.engine.arena);
    table.only(2).engine.engine.directory.setBackendState(1, "dead");
    assert.deepEqual(await table.tracks([flows[8]!, flows[0]!], "A"), ["replaced 2", "replaced 2"]);
    const after = entries(table.engine.engine.arena);
    assert.deepEqual(
      after.map(({ place, signature, away }) => ({ place, signature, away })),
      before.map(({ place, signature, away }) => ({ place, signature, away })),
    );
    assert.deepEqual(await table.only(3).tracks([flows[8]!, flows[0]!], "A"), ["hit-away 2", "hit 2"]);
    assert.deepEqual(await table.tracks([flows[1]!], "A"), ["replaced 3"]);
    table.check();
  });

  test("dead and back before its flows came by: they stay", async () => {
    const flows = neighbours().home.slice(0, 3);
    const table = new Crowd().only(1);
    await table.tracks(flows);
    const { directory } = table.engine.engine;
    directory.setBackendState(1, "dead");
    directory.setBackendState(1, "draining");
    assert.deepEqual(await table.only(2).tracks(flows, "A"), repeat("hit 1", 3));
  });
});

suite("connection table: expiry", () => {
  const tcp = nthFlow(TCP, 1);
  const udp = nthFlow(UDP, 1);
  const closing = ["S", "A", "F"];
  for (const [state, flow, flags, seconds] of [
    ["new", tcp, ["S"], 16],
    ["established", tcp, ["S", "A"], 160],
    ["closing by FIN", tcp, closing, 32],
    ["closing by RST", tcp, ["S", "A", "R"], 32],
    ["closing at once", tcp, ["R"], 32],
    ["closing, then opened again", tcp, [...closing, "S"], 16],
    ["closing, and acknowledged", tcp, [...closing, "A"], 32],
    ["udp", udp, [""], 32],
  ] as const) {
    test(`${state}: lives for ${seconds} s after its last packet, and less than a sixteenth longer`, async () => {
      const from = 3200;
      /** Track of a probe so long after the flow's last packet. The probe has no flags: it changes no state. */
      const after = async (probeSeconds: number) => {
        const table = new Crowd().only(1).at(from);
        for (const flag of flags) await table.send(flow, flag);
        const { track } = await table
          .only(2)
          .at(from + probeSeconds)
          .send(flow, "P");
        table.check();
        return track;
      };
      assert.equal(await after(seconds), "hit");
      // The clock has steps of 16 ms.
      assert.equal(await after(seconds + seconds / 16 - 0.016), "hit");
      assert.equal(await after(seconds + seconds / 16 + 0.016), "inserted");
      assert.equal(await after(seconds * 4 + 1), "inserted", "ages come around");
      assert.equal(await after(seconds * 400), "inserted");
    });
  }

  test("every packet prolongs a flow's life", async () => {
    const table = new Crowd().only(1);
    await table.send(tcp, "S");
    for (let seconds = 15; seconds < 3000; seconds += 15) {
      assert.equal((await table.at(seconds).send(tcp, "P")).track, "hit");
    }
  });

  for (const [what, stepSeconds] of [
    ["in small steps", 0.1],
    ["by a jump", 10_000],
  ] as const) {
    test(`time that passes ${what} empties the table, and no flow is active`, async () => {
      const table = new Crowd();
      const flows = Array.from({ length: 300 }, (_, n) => nthFlow([TCP, UDP, TCP6][n % 3]!, n));
      for (const [i, flow] of flows.entries()) {
        table.only(1 + Math.floor(i / 75)).at(i / 100);
        await table.send(flow, i % 5 === 0 ? "R" : "S");
        if (i % 7 === 0) await table.send(flow, "A");
      }
      table.check();
      assert.ok(
        activeFlows(table.engine.engine)
          .counted.slice(1)
          .every((count) => count > 30),
      );
      // What passes by is of no VIP: only the clock matters.
      const stranger = packetOf({ ...tcp, service: { ...TCP, address: "10.99.0.9" } });
      const end = 3 + 200;
      const packets = Array.from({ length: Math.ceil(end / stepSeconds) }, (_, i) => ({
        bytes: stranger,
        timeMs: (3 + (i + 1) * stepSeconds) * 1000,
      }));
      const results = await table.engine.process(packets);
      assert.ok(results.every(({ reason }) => reason === "not-vip"));
      assert.deepEqual(entries(table.engine.engine.arena), []);
      const { counted } = activeFlows(table.engine.engine);
      assert.deepEqual(counted, Array(BACKENDS + 1).fill(0));
      const { arena } = table.engine.engine;
      const expired = arena.u64[(arena.plan.regions.counters.offset + L.COUNTER_EXPIRED) / 8];
      assert.equal(expired, 300n);
    });
  }
});
