// Packets that are too big for the way to their backend, where it matters what else is going on: frames, rings, traps, MTUs and
// interfaces. What leaves is the model's in test/fixtures/too-big.md and in the random tests.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as L from "../../assembly/layout.ts";
import { field } from "../model/bytes.ts";
import { checksum } from "../model/checksum.ts";
import { Model } from "../model/model.ts";
import { type Config, offlineMac, offlineSetup } from "../model/setup.ts";
import { packet } from "../packets/packet.ts";
import { Rig, type RigOptions } from "./rig.ts";

const CONFIG = {
  machine: { address: "10.0.0.11", address6: "fd00::11" },
  conntrack: { flows: 1000 },
  icmp: { errorsPerSecond: 1_000_000 },
  frames: { count: 512 },
  pools: {
    v4: { tableSize: 251, backends: [{ name: "b4", address: "10.0.0.21" }] },
    v6: { tableSize: 251, backends: [{ name: "b6", address: "fd00::22" }] },
  },
  vips: [
    { name: "ipip", address: "10.99.0.1", port: 80, pool: "v4", forward: "ipip" },
    { name: "gue6", address: "fd99::1", port: 80, pool: "v6", forward: "gue" },
    {
      name: "cut",
      address: "10.99.0.2",
      port: 80,
      pool: "v4",
      forward: "gre",
      tunnel: { tooBig: "fragment" },
    },
    { name: "near", address: "10.99.0.3", port: 80, pool: "v4" },
  ],
};

const rigOf = (options: RigOptions = {}) => new Rig(CONFIG, { reserve: L.MAX_EXTRAS, ...options });

/** A packet of `bytes` to one of the VIPs, of the n-th flow. */
function sized(dst: string, bytes: number, n = 0, df = true): Uint8Array {
  const ethernet = packet().ethernet();
  const v4 = !dst.includes(":");
  const ip = v4 ? ethernet.ipv4({ src: "192.0.2.1", dst, df }) : ethernet.ipv6({ src: "2001:db8::1", dst });
  return ip
    .tcp({ sport: 40000 + n, dport: 80, flags: "A" })
    .payload(bytes - (v4 ? 40 : 60))
    .bytes();
}

/** All frames are somewhere, once, and those that are not kept are offered again. */
function checkFrames(rig: Rig): void {
  rig.collect();
  for (let i = 0; i < rig.workers; i++) rig.settle();
  const { places, missing, duplicated, invalid, total } = rig.audit();
  assert.deepEqual({ missing, duplicated, invalid }, { missing: [], duplicated: [], invalid: [] });
  assert.equal(places.fill + places.free + places.completion, total);
  assert.ok(places.free <= rig.workers * L.MAX_EXTRAS);
}

/** What is inside the fragments of one packet, put together as RFC 791 §3.2 and RFC 8200 §4.5 say. */
function reassembled(frames: Uint8Array[]): Uint8Array {
  const pieces = frames.map((frame) => {
    const ip = frame.subarray(14);
    const v4 = ip[0]! >> 4 === 4;
    if (v4) assert.equal(checksum(ip.slice(0, 20)), 0, "the header's checksum");
    const place = v4 ? field(ip, 6, 2) : field(ip, 42, 2);
    return {
      id: v4 ? field(ip, 4, 2) : field(ip, 44, 4),
      at: v4 ? (place & 0x1fff) * 8 : place & ~7,
      more: v4 ? (place & 0x2000) !== 0 : (place & 1) !== 0,
      bytes: v4 ? ip.subarray(20, field(ip, 2, 2)) : ip.subarray(48, 40 + field(ip, 4, 2)),
    };
  });
  pieces.sort((a, b) => a.at - b.at);
  assert.equal(new Set(pieces.map(({ id }) => id)).size, 1, "one identification");
  let at = 0;
  for (const [i, piece] of pieces.entries()) {
    assert.equal(piece.at, at, "no gap and no overlap");
    assert.equal(piece.more, i < pieces.length - 1);
    at += piece.bytes.length;
  }
  return Buffer.concat(pieces.map(({ bytes }) => bytes));
}

suite("packets that are too big", () => {
  test("every frame comes back, batch after batch, and every fragment is counted", () => {
    const rig = rigOf({ workers: 2 });
    let sent = 0;
    for (let round = 0; round < 50; round++) {
      for (let n = 0; n < 40; n++) {
        const bytes = sized("10.99.0.2", 1000 + n * 19, n);
        rig.deliver(rig.owner(bytes), bytes);
      }
      rig.runAll();
      sent += rig.collect().length;
      rig.settle();
    }
    const fragments = rig.statistics.workers().reduce((sum, each) => sum + each.fragments, 0);
    assert.equal(sent, 2000 + fragments);
    // 1477 to 1741 bytes.
    assert.equal(fragments, 50 * 14);
    assert.deepEqual(Object.keys(rig.statistics.reasons()), ["hit", "new"]);
    checkFrames(rig);
  });

  test("fragments make up the packet, whatever the MTU", () => {
    for (const mtu of [576, 1280, 1300, 1492, 1499]) {
      const rig = rigOf({ mtu });
      for (const [dst, bytes, head] of [
        ["10.99.0.2", 1700, 4],
        ["fd99::1", 1280, 8],
      ] as const) {
        const whole = sized(dst, bytes);
        if (bytes + head + 40 <= mtu) continue;
        rig.deliver(0, whole);
        rig.runAll();
        const frames = rig.collect().map((each) => each.bytes);
        for (const frame of frames) assert.ok(frame.length - 14 <= mtu);
        assert.deepEqual(
          reassembled(frames).subarray(head),
          Buffer.from(whole.subarray(14)),
          `${mtu} ${dst}`,
        );
      }
      checkFrames(rig);
    }
  });

  test("an IPv6 sender is never told less than 1280, and packets up to that size are fragmented", () => {
    const rig = rigOf({ mtu: 1300 });
    rig.deliver(0, sized("fd99::1", 1281));
    rig.runAll();
    const [answer] = rig.collect();
    assert.deepEqual([field(answer!.bytes, 54, 2), field(answer!.bytes, 58, 4)], [0x0200, 1280]);
    rig.deliver(0, sized("fd99::1", 1280));
    rig.runAll();
    assert.equal(rig.collect().length, 2);
    assert.deepEqual(rig.statistics.reasons(), { hit: 1, "too-big-replied": 1 });
  });

  test("more than a worker has frames for: no-frame, and the next batch has them again", () => {
    const rig = rigOf({ reserve: 3 });
    const all = () => {
      for (let n = 0; n < 5; n++) rig.deliver(0, sized("10.99.0.1", 1500, n, false));
      rig.runAll();
      return rig.records().map(({ reason }) => reason);
    };
    assert.deepEqual(all(), ["new", "new", "new", "no-frame", "no-frame"]);
    assert.equal(rig.collect().length, 6);
    rig.settle();
    assert.deepEqual(all(), ["hit", "hit", "hit", "no-frame", "no-frame"]);
    checkFrames(rig);
  });

  test("workers that are short leave frames to each other", () => {
    const rig = rigOf({ workers: 3, reserve: 4 });
    const flows = Array.from({ length: 60 }, (_, n) => sized("10.99.0.1", 1500, n, false));
    for (let round = 0; round < 20; round++) {
      const worker = round % 3;
      const own = flows.filter((bytes) => rig.owner(bytes) === worker).slice(0, 4);
      for (const bytes of own) rig.deliver(worker, bytes);
      rig.run(worker);
      assert.equal(rig.collect().length, 8, `round ${round}`);
      // The others are first at what comes back.
      for (const other of [worker + 1, worker + 2, worker]) rig.instance(other % 3).settle();
    }
    assert.equal(rig.statistics.reasons()["no-frame"], undefined);
    checkFrames(rig);
  });

  test("a full TX ring: a packet whose fragments do not all fit is not sent at all", () => {
    for (const [room, complete] of [
      [4, 0],
      [5, 1],
      [7, 3],
      [8, 4],
    ] as const) {
      const rig = rigOf();
      const { tx } = rig.engine.wiring.ports[0]!;
      const { arena } = rig.engine;
      const producer = arena.word(tx.producer);
      arena.setWord(tx.consumer, producer - (tx.mask + 1 - room));
      for (let n = 0; n < 4; n++) rig.deliver(0, sized("10.99.0.1", 1500, n, false));
      rig.run(0);
      assert.equal((arena.word(tx.producer) - producer) >>> 0, 2 * complete, `room for ${room}`);
      arena.setWord(tx.consumer, producer);
      const refused = 4 - complete;
      assert.deepEqual(rig.statistics.reasons(), {
        ...(complete > 0 && { new: complete }),
        ...(refused > 0 && { "tx-full": refused }),
      });
      checkFrames(rig);
    }
  });

  test("a trap in the middle gives the batch up, with the frames that it took", () => {
    const rig = rigOf();
    const { arena } = rig.engine;
    for (let n = 0; n < 4; n++) rig.deliver(0, sized("10.99.0.1", 1500, n, false));
    const free = arena.word(arena.workerBlock(0) + L.WORKER_FREE_COUNT);
    // The TX ring seems to lie beyond the memory: by then the fragments have their frames.
    const descriptors = arena.workerBlock(0) + L.WORKER_PORTS + L.PORT_TX + L.RING_DESCRIPTORS;
    const before = arena.word(descriptors);
    arena.setWord(descriptors, 0xfffff000);
    assert.throws(() => rig.run(0), WebAssembly.RuntimeError);
    arena.setWord(descriptors, before);
    rig.instance(0).abandon();
    assert.equal(arena.word(arena.workerBlock(0) + L.WORKER_FREE_COUNT), free + 4);
    assert.equal(rig.collect().length, 0);
    for (let n = 0; n < 4; n++) rig.deliver(0, sized("10.99.0.1", 1500, n, false));
    rig.run(0);
    assert.equal(rig.collect().length, 8);
    checkFrames(rig);
  });

  test("the way back is the interface that the packet came by, also for one that was handed over", () => {
    const rig = rigOf({ workers: 2, interfaces: 2 });
    for (const [n, queue] of [0, 1, 0, 1].entries()) {
      const bytes = sized("10.99.0.1", 1500, n);
      rig.deliver(1 - rig.owner(bytes), bytes, queue);
      rig.runAll();
      const sent = rig.collect();
      assert.deepEqual(
        sent.map((each) => each.interface),
        [queue],
      );
      assert.deepEqual(sent[0]!.bytes.subarray(0, 6), bytes.subarray(6, 12));
    }
    assert.deepEqual(rig.statistics.reasons(), { "too-big-replied": 4 });
    checkFrames(rig);
  });

  test("the MTU is that of the interface that leads to the backend", () => {
    const rig = rigOf({ interfaces: 2 });
    const { directory } = rig.engine;
    directory.setInterface(1, { mac: directory.interface(1)!.mac, mtu: 1400 });
    const bytes = sized("10.99.0.3", 1401);
    rig.deliver(0, bytes);
    rig.runAll();
    assert.equal(rig.collect()[0]!.bytes.length, bytes.length);
    directory.setNextHop(1, { mac: Uint8Array.from([2, 0, 0, 0, 0, 1]), interface: 1 });
    rig.deliver(0, bytes);
    rig.runAll();
    const [answer] = rig.collect();
    assert.deepEqual([answer!.interface, field(answer!.bytes, 40, 2)], [0, 1400]);
    assert.deepEqual(rig.statistics.reasons(), { new: 1, "too-big-replied": 1 });
  });

  test("without ICMP errors they are dropped, and without tunnels workers keep no frames", () => {
    const silent = { ...CONFIG, icmp: { errorsPerSecond: 0 }, vips: CONFIG.vips.slice(3) };
    const rig = new Rig(silent, { reserve: L.MAX_EXTRAS });
    rig.deliver(0, sized("10.99.0.3", 1501));
    rig.runAll();
    assert.deepEqual(rig.statistics.reasons(), { "too-big": 1 });
    rig.settle();
    assert.equal(rig.audit().places.fill, rig.audit().total);
    const model = new Model(offlineSetup(silent as Config));
    assert.equal(model.process(sized("10.99.0.3", 1501), 0).reason, "too-big");
    assert.equal(offlineMac("10.0.0.21"), "02:00:0a:00:00:15");
  });
});
