// A thread that dies at a given place of its work, and the next one for the same worker, in this thread: what deaths.test.ts meets
// by chance.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as L from "../../assembly/layout.ts";
import type { Host } from "../../src/dataplane/binary.ts";
import { macBytes } from "../../src/mac.ts";
import { offlineMac } from "../model/setup.ts";
import { packet } from "../packets/packet.ts";
import { anyConfig, Rig } from "./rig.ts";

const NOWHERE = 0xf0000000;
/** Later than any timeout after the start of the clock. */
const LATE_MS = 1 << 30;

const segment = (n: number, flags = "S") =>
  packet()
    .ethernet()
    .ipv4({ src: `192.0.2.${n & 255}`, dst: "10.99.0.1" })
    .tcp({ sport: 1024 + (n >> 8), dport: 80, flags })
    .bytes();

function checkFrames(rig: Rig): void {
  const { missing, duplicated, invalid, places } = rig.audit();
  assert.deepEqual({ missing, duplicated, invalid }, { missing: [], duplicated: [], invalid: [] });
  assert.equal(places.inHand, 0);
}

/** Makes the ports of worker 0 ask for a kick, as the kernel's do. */
function askForKicks({ engine: { arena, wiring } }: Rig): void {
  const block = arena.workerBlock(0);
  for (let port = 0; port < arena.word(block + L.WORKER_PORT_COUNT); port++)
    arena.setWord(block + L.WORKER_PORTS + port * L.PORT_BYTES + L.PORT_SOCKET, 1);
  for (const { worker, tx } of wiring.ports) if (worker === 0) arena.setWord(tx.flags, L.RING_NEED_WAKEUP);
}

suite("a thread that dies", () => {
  for (const survived of [0, 1])
    test(`over its batch's kick ${survived + 1} of 2: what was to be shown is shown, once`, () => {
      const rig = new Rig(anyConfig(), { interfaces: 2, reserve: 8 });
      const { directory } = rig.engine;
      for (const { id, config } of directory.backends.filter(Boolean))
        directory.setNextHop(id, { mac: macBytes(offlineMac(config.address)), interface: id % 2 });
      let kicks = 0;
      const dying: Host = {
        kick: () => {
          if (kicks++ === survived) throw new Error("the end");
          return 0;
        },
        wake: () => 0,
      };
      askForKicks(rig);
      rig.succeed(0, dying);
      const flows = 40;
      for (let n = 0; n < flows; n++) rig.deliver(0, segment(n));
      assert.throws(() => rig.run(0), /the end/);
      rig.succeed(0);
      const sent = rig.collect();
      assert.equal(sent.length, flows);
      assert.deepEqual([...new Set(sent.map((each) => each.interface))].sort(), [0, 1]);
      rig.settle();
      checkFrames(rig);
      assert.deepEqual(rig.statistics.reasons(), { new: flows });
      for (let n = 0; n < flows; n++) rig.deliver(0, segment(n, "A"));
      rig.run(0);
      assert.equal(rig.collect().length, flows);
      assert.deepEqual(rig.statistics.reasons(), { new: flows, hit: flows });
      rig.settle();
      checkFrames(rig);
    });

  /** A batch of worker 0 that traps when it comes to what is worker 2's. */
  function trapOverHandover(rig: Rig, packets: Uint8Array[]): void {
    const { arena } = rig.engine;
    const ring = arena.workerBlock(0) + L.WORKER_HANDOFF + 2 * 4;
    const whole = arena.word(ring);
    rig.instance(0);
    arena.setWord(ring, NOWHERE);
    for (const bytes of packets) rig.deliver(0, bytes);
    assert.throws(() => rig.run(0), WebAssembly.RuntimeError);
    arena.setWord(ring, whole);
    rig.succeed(0);
  }

  const ownedBy = (rig: Rig, worker: number, make: (n: number) => Uint8Array) => {
    for (let n = 0; ; n++) if (rig.owner(make(n)) === worker) return make(n);
  };

  test("while it hands over: nobody has got anything, and all of it is given up", () => {
    const rig = new Rig(anyConfig(), { workers: 3 });
    const packets = [1, 1, 2, 0].map((owner) => ownedBy(rig, owner, segment));
    trapOverHandover(rig, packets);
    assert.equal(rig.audit().places.handoff, 0);
    // The batch's own packet had its reason already.
    assert.deepEqual(rig.statistics.reasons(), { new: 1, trapped: 4 });
    for (const bytes of packets) rig.deliver(0, bytes);
    rig.runAll();
    assert.equal(rig.collect().length, 4);
    rig.settle();
    checkFrames(rig);
  });

  test("while it holds a fragment: that stays in its place, the rest is given up", () => {
    const rig = new Rig(anyConfig(), { workers: 3 });
    const fragment = (n: number) =>
      packet()
        .ethernet()
        .ipv4({ src: `192.0.2.${n}`, dst: "10.99.0.1", fragmentOffset: 3, id: 7, protocol: 17, df: false })
        .payload(16)
        .bytes();
    trapOverHandover(rig, [ownedBy(rig, 0, fragment), ownedBy(rig, 2, segment)]);
    assert.equal(rig.audit().places.held, 1);
    assert.deepEqual(rig.statistics.reasons(), { trapped: 1 });
    rig.clockMs += L.FRAGMENT_HELD_MS;
    rig.runAll();
    assert.deepEqual(rig.statistics.reasons(), { "fragment-timeout": 1, trapped: 1 });
    rig.settle();
    checkFrames(rig);
  });

  test("long after the clock's start: the next one takes no flow for expired", () => {
    const rig = new Rig(anyConfig());
    rig.clockMs = LATE_MS;
    const flows = 50;
    for (let n = 0; n < flows; n++) rig.deliver(0, segment(n));
    rig.run(0);
    rig.succeed(0);
    rig.clockMs += 16;
    for (let n = 0; n < flows; n++) rig.deliver(0, segment(n, "A"));
    rig.run(0);
    assert.deepEqual(rig.statistics.reasons(), { new: flows, hit: flows });
  });
});
