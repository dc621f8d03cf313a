// Packets of the balancer's own: docs/datapath.md §7, against the model, and that nothing else notices them.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import * as L from "../../assembly/layout.ts";
import { reasons } from "../../src/dataplane/reasons.ts";
import { macBytes } from "../../src/mac.ts";
import { random } from "../dataplane/random.ts";
import { Model } from "../model/model.ts";
import { type Config, type ModelSetup, offlineMac, offlineSetup } from "../model/setup.ts";
import { validPacket } from "../packets/arbitraries.ts";
import { hostilePacket } from "../packets/hostile.ts";
import { packet } from "../packets/packet.ts";
import { runs } from "../runs.ts";
import { anyConfig, Rig } from "./rig.ts";

const COUNT = 1500;
const setup = offlineSetup(anyConfig() as Config);
const fits = (bytes: Uint8Array) => bytes.length <= 2048 - L.HEADROOM;
const some = (arbitrary: fc.Arbitrary<Uint8Array>) =>
  fc.sample(arbitrary, { seed: runs.seed, numRuns: COUNT }).filter(fits);
const packets = [...some(hostilePacket(setup)), ...some(validPacket(setup))];

const flow = (sport = 5555, dst = "10.99.0.1") =>
  packet().ethernet().ipv4({ src: "192.0.2.1", dst }).tcp({ sport, dport: 80, flags: "S" }).bytes();

function conntrack(rig: Rig): Buffer {
  const { offset, bytes } = rig.engine.arena.plan.regions.conntrack;
  return Buffer.from(rig.engine.arena.read(offset, bytes));
}

/** Everything that traffic is counted by but its reasons: VIPs, backends, flows. */
function countedTraffic(rig: Rig): number[] {
  const { vips, backends } = rig.engine.directory;
  return [
    ...vips.flatMap((_, index) => Object.values(rig.statistics.vip(index))),
    ...backends.filter(Boolean).flatMap(({ id }) => Object.values(rig.statistics.backend(id))),
  ];
}

/** Sends a packet through a worker by the self-test queue. @returns the packets that came back there */
function through(rig: Rig, worker: number, bytes: Uint8Array): Uint8Array[] {
  const queue = rig.selfTest!;
  const frame = queue.takeFrame();
  assert.ok(frame !== undefined, "a frame for the test");
  rig.engine.arena.u8.set(bytes, queue.address(frame));
  queue.deliver(worker, frame, bytes.length);
  rig.run(worker);
  const back: Uint8Array[] = [];
  for (let each = 0; each < rig.workers; each++) {
    queue.collect(each, ({ frame: of, start, length }) => {
      assert.deepEqual([each, of], [worker, frame]);
      back.push(rig.engine.arena.read(start, length));
    });
  }
  rig.run(worker);
  return back;
}

function checkFrames(rig: Rig): void {
  const { missing, duplicated, invalid, places, total } = rig.audit();
  assert.deepEqual({ missing, duplicated, invalid }, { missing: [], duplicated: [], invalid: [] });
  assert.equal(
    Object.values(places).reduce((a, b) => a + b, 0),
    total,
  );
}

suite("self-tests", () => {
  test(`${packets.length} packets come back as the model says, and leave no trace`, () => {
    const rig = new Rig(anyConfig(), { workers: 3, selfTest: true });
    const model = new Model(setup);
    const before = conntrack(rig);
    const next = random(1);
    let rewritten = 0;
    for (const bytes of packets) {
      const [back, ...more] = through(rig, Math.floor(next() * 3), bytes);
      const expected = model.selfTest(bytes);
      assert.deepEqual([Buffer.from(back!), more.length], [Buffer.from(expected), 0]);
      if (expected !== bytes) rewritten++;
      rig.records();
    }
    assert.ok(rewritten > COUNT / 4 && rewritten < packets.length, `${rewritten} rewritten`);
    assert.ok(before.equals(conntrack(rig)), "the connection table is as it was");
    assert.deepEqual(new Set(countedTraffic(rig)), new Set([0]));
    assert.deepEqual(rig.statistics.reasons(), { probe: packets.length });
    checkFrames(rig);
  });

  test("obstacles let a packet return as it came, and count nothing", () => {
    const pools = { empty: { backends: [] }, near: { backends: [{ name: "b1", address: "10.0.0.21" }] } };
    const vips = [
      { name: "none", address: "10.99.0.1", port: 80, pool: "empty" },
      { name: "far", address: "10.99.0.2", port: 80, pool: "near", forward: "gre" },
      { name: "web", address: "10.99.0.3", port: 80, pool: "near" },
    ];
    const config = { machine: { address: "10.0.0.11" }, conntrack: { flows: 1000 }, pools, vips };
    const rig = new Rig(config, { selfTest: true, mtu: 63 });
    const unchanged = (bytes: Uint8Array) =>
      assert.deepEqual(through(rig, 0, bytes).map(Buffer.from), [Buffer.from(bytes)]);
    unchanged(flow(1, "10.99.0.1"));
    unchanged(flow(1, "10.99.0.2"));
    assert.notDeepEqual(through(rig, 0, flow(1, "10.99.0.3"))[0], flow(1, "10.99.0.3"));
    rig.engine.directory.setNextHop(1, undefined);
    unchanged(flow(1, "10.99.0.3"));
    unchanged(flow(1, "10.99.0.4"));
    unchanged(new Uint8Array(60));
    assert.deepEqual(rig.statistics.reasons(), { probe: 6 });
  });

  test("the packet goes back by its port also where the backend is on another interface", () => {
    const rig = new Rig(anyConfig(), { interfaces: 2, selfTest: true });
    for (const { id, config } of rig.engine.directory.backends.filter(Boolean)) {
      rig.engine.directory.setNextHop(id, { mac: macBytes(offlineMac(config.address)), interface: 1 });
    }
    const [back] = through(rig, 0, flow());
    assert.deepEqual(
      back!.subarray(6, 12),
      macBytes("02:bb:00:00:00:02"),
      "with the MAC address of that interface",
    );
    assert.deepEqual(rig.collect(), []);
  });

  test("in a batch with traffic each goes its way, and a flow of traffic is not touched", () => {
    const rig = new Rig(anyConfig(), { workers: 2, selfTest: true });
    const bytes = flow();
    const owner = rig.owner(bytes);
    const queue = rig.selfTest!;
    for (const worker of [0, 1]) {
      rig.deliver(owner, bytes);
      const frame = queue.takeFrame()!;
      rig.engine.arena.u8.set(bytes, queue.address(frame));
      queue.deliver(worker, frame, bytes.length);
    }
    rig.runAll();
    assert.equal(rig.collect().length, 2);
    let back = 0;
    for (const worker of [0, 1]) back += queue.collect(worker, () => {});
    assert.equal(back, 2);
    assert.deepEqual(rig.statistics.reasons(), { hit: 1, new: 1, probe: 2 });
    assert.equal(rig.statistics.vip(0).packets, 2);
    assert.equal(rig.counter(0, L.COUNTER_HANDED) + rig.counter(1, L.COUNTER_HANDED), 0);
  });
});

suite("frames of the self-test queue", () => {
  for (const [workers, interfaces, count] of [
    [1, 1, 64],
    [2, 2, 100],
    [4, 3, 300],
  ] as const) {
    test(`${workers} workers, ${interfaces} interfaces, ${count} frames: it keeps its few, whatever goes on`, () => {
      const rig = new Rig(anyConfig({ frames: { count } }), { workers, interfaces, selfTest: true });
      const limit = 2 * workers;
      const queue = rig.engine.wiring.queues.length - 1;
      const level = () => {
        const { fill } = rig.engine.wiring.queues[queue]!;
        const { arena } = rig.engine;
        return arena.word(fill.producer) - arena.word(fill.consumer);
      };
      assert.equal(level(), limit, "offered at the start");
      const next = random(workers);
      const below = (n: number) => Math.floor(next() * n);
      for (let step = 0; step < 2000; step++) {
        const worker = below(workers);
        for (let n = below(12); n > 0; n--)
          rig.deliver(worker, packets[below(packets.length)]!, below(interfaces));
        if (below(3) === 0 && level() > 0) through(rig, worker, packets[below(packets.length)]!);
        rig.run(worker, 1 + below(2));
        rig.collect(below(workers));
        if (below(4) === 0) rig.instance(worker).settle();
        rig.records();
        assert.ok(level() <= limit, `${level()} frames`);
      }
      for (let i = 0; i < 4; i++) {
        rig.clockMs += L.FRAGMENT_HELD_MS;
        rig.runAll();
        rig.collect();
        for (let worker = 0; worker < workers; worker++) rig.selfTest!.collect(worker, () => {});
        rig.settle();
      }
      assert.ok(rig.settle(), "no frame is left on a free list");
      checkFrames(rig);
      assert.equal(level(), limit);
      assert.equal(rig.audit().places.fill, count, "all others are offered to the interfaces");
    });
  }

  test("a queue that ran dry gets its frames back before the others", () => {
    const rig = new Rig(anyConfig({ frames: { count: 64 } }), { selfTest: true });
    while (rig.selfTest!.takeFrame() !== undefined);
    assert.equal(rig.instance(0).lean(), 0, "nobody stays awake for it");
    for (let n = 0; n < 10; n++) rig.deliver(0, new Uint8Array(60));
    rig.run(0);
    rig.settle();
    assert.notEqual(rig.selfTest!.takeFrame(), undefined);
  });

  /** A worker that keeps 8 frames for fragments. */
  function keeping(): Rig {
    const rig = new Rig(anyConfig({ frames: { count: 64 } }), { selfTest: true, reserve: 8 });
    assert.equal(rig.engine.arena.word(L.HEADER_RESERVE), 8);
    return rig;
  }

  test("it gets frames where no more are free than what a worker keeps for fragments", () => {
    const rig = keeping();
    const queue = rig.selfTest!;
    for (const each of [...rig.queues, queue]) while (each.takeFrame() !== undefined);
    const { arena } = rig.engine;
    const free = () => arena.word(arena.workerBlock(0) + L.WORKER_FREE_COUNT);
    assert.equal(free(), 8);
    rig.settle();
    assert.equal(free(), 6);
    assert.deepEqual(
      [queue.takeFrame(), queue.takeFrame(), queue.takeFrame()].map((frame) => frame !== undefined),
      [true, true, false],
    );
    rig.settle();
    assert.equal(free(), 4, "as often as they do not come back");
    assert.equal(rig.queues[0]!.takeFrame(), undefined, "and nobody else gets any of them");
  });

  test("whoever has its lock keeps nobody awake while it has its frames", () => {
    const rig = keeping();
    const { arena } = rig.engine;
    const lock = arena.plan.regions.queues.offset + L.QUEUE_BYTES + L.QUEUE_LOCK;
    arena.setWord(lock, 7);
    assert.equal(rig.settle(), true, "nothing is to be done at it");
    rig.selfTest!.takeFrame();
    assert.equal(rig.settle(), false, "it is short of one");
    arena.setWord(lock, 0);
    assert.equal(rig.settle(), true);
  });
});

suite("probes of backends", () => {
  /** The second interface is a port for probes. Backends are behind the first. */
  function probeRig(ports: ReadonlyMap<number, number>): Rig {
    const rig = new Rig(anyConfig(), { workers: 2, interfaces: 2 });
    const { arena, wiring } = rig.engine;
    for (const port of wiring.ports.filter(({ queue }) => queue === 1)) {
      const at = arena.workerBlock(port.worker) + L.WORKER_PORTS;
      for (let i = 0; i < arena.word(arena.workerBlock(port.worker) + L.WORKER_PORT_COUNT); i++) {
        const record = at + i * L.PORT_BYTES;
        if (arena.word(record + L.PORT_RX + L.RING_PRODUCER) === port.rx.producer)
          arena.setWord(record + L.PORT_KIND, L.PORT_KIND_PROBE);
      }
    }
    const probes = arena.plan.regions.probes.offset / L.PROBE_BYTES;
    for (const [port, id] of ports) arena.u16[probes + port] = id;
    return rig;
  }

  test("VIPs do not count what becomes of probes, whatever it is", () => {
    const rig = probeRig(new Map([[5555, 1]]));
    const probe = (sport: number, more = 0) =>
      packet()
        .ethernet()
        .ipv4({ src: "192.0.2.1", dst: "10.99.0.1" })
        .tcp({ sport, dport: 80, flags: "S" })
        .payload(more);
    const quoted = packet().ipv4({ src: "10.99.0.1", dst: "192.0.2.1" }).tcp({ sport: 80, dport: 5555 });
    const message = packet().ethernet().ipv4({ src: "192.0.2.9", dst: "10.99.0.1" }).icmp({ type: 3 });
    const pass = (bytes: Uint8Array) => {
      rig.deliver(0, bytes, 1);
      rig.runAll();
      const [{ reason } = { reason: "" }] = rig.records();
      return reason;
    };
    const { arena, wiring } = rig.engine;
    const [{ tx }] = wiring.ports as [(typeof wiring.ports)[number]];
    arena.setWord(tx.consumer, arena.word(tx.producer) - tx.mask - 1);
    assert.equal(pass(probe(5555).bytes()), "tx-full");
    arena.setWord(tx.consumer, arena.word(tx.producer));
    assert.equal(pass(probe(5555).bytes()), "probe");
    assert.equal(pass(probe(5556).bytes()), "no-backend");
    assert.equal(pass(probe(5555, 1500).bytes()), "too-big");
    assert.equal(pass(message.payload(quoted.bytes()).bytes()), "icmp-unsupported");
    rig.engine.directory.setNextHop(1, undefined);
    assert.equal(pass(probe(5555).bytes()), "unresolved");
    for (const number of rig.engine.directory.vipNumbers)
      assert.deepEqual(rig.statistics.vipReasons(number), {});
    assert.deepEqual(new Set(countedTraffic(rig)), new Set([0]));
  });

  test("the source port names the backend, in either mode and family; anything else is as the model says", () => {
    const ports = new Map(Array.from({ length: 30_000 }, (_, i) => [i * 2, 1 + (i % 8)]));
    const rig = probeRig(ports);
    const two: ModelSetup = { ...setup, interfaces: [...setup.interfaces, ...setup.interfaces] };
    const model = new Model(two);
    const before = conntrack(rig);
    const expectedReasons: Record<string, number> = {};
    const next = random(2);
    // Answers of backends are traffic wherever they come in. What is asked once more would count twice.
    const scout = new Model(two);
    for (const bytes of packets.filter((each) => scout.probe(each, ports).reason !== "return")) {
      const worker = Math.floor(next() * 2);
      rig.deliver(worker, bytes, 1);
      rig.runAll();
      const [record] = rig.records();
      const [sent, ...more] = rig.collect();
      const expected = model.probe(bytes, ports);
      // What is forwarded leaves by the first interface, and what is answered by the one it came from.
      const by = expected.verdict === "reply" ? 1 : 0;
      assert.deepEqual(
        [record!.verdict, record!.reason, sent?.interface, sent && Buffer.from(sent.bytes), more.length],
        [expected.verdict, expected.reason, sent && by, expected.out && Buffer.from(expected.out), 0],
      );
      expectedReasons[expected.reason] = (expectedReasons[expected.reason] ?? 0) + 1;
    }
    assert.ok(expectedReasons.probe! > COUNT / 8, JSON.stringify(expectedReasons));
    assert.ok(expectedReasons["no-backend"]! > COUNT / 8);
    assert.ok(before.equals(conntrack(rig)), "the connection table is as it was");
    assert.deepEqual(new Set(countedTraffic(rig)), new Set([0]));
    const known = new Set(reasons.values());
    assert.ok(Object.keys(rig.statistics.reasons()).every((name) => known.has(name)));
    assert.deepEqual(
      rig.statistics.reasons(),
      Object.fromEntries(
        [...known].flatMap((name) => (expectedReasons[name] ? [[name, expectedReasons[name]]] : [])),
      ),
    );
    rig.settle();
    checkFrames(rig);
  });
});
