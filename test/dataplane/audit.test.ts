// The audit itself: it finds what is wrong. Other tests and a running machine's operator rely on that.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as L from "../../assembly/layout.ts";
import type { Ring } from "../../src/dataplane/rings.ts";
import { anyConfig, Rig } from "../engine/rig.ts";
import { packet } from "../packets/packet.ts";

const COUNT = 64;
const FRAME = 2048;

const rigOf = () => new Rig(anyConfig({ frames: { count: COUNT } }), { workers: 2 });
const syn = packet().ethernet().ipv4({ src: "192.0.2.1", dst: "10.99.0.1" }).tcp().bytes();
const fillOf = (rig: Rig): Ring => rig.engine.wiring.queues[0]!.fill;

/** Replaces the n-th address in the FILL ring. */
function setOffered(rig: Rig, n: number, address: number): void {
  const { descriptors, mask } = fillOf(rig);
  rig.engine.arena.u64[(descriptors + (n & mask) * L.FRAME_DESCRIPTOR_BYTES) / 8] = BigInt(address);
}

suite("audit of frames", () => {
  test("at the start every frame is offered", () => {
    const { places, missing, duplicated, invalid, total } = rigOf().audit();
    assert.deepEqual(
      { missing, duplicated, invalid, total },
      { missing: [], duplicated: [], invalid: [], total: COUNT },
    );
    assert.deepEqual(places, {
      fill: COUNT,
      completion: 0,
      rx: 0,
      tx: 0,
      handoff: 0,
      held: 0,
      free: 0,
      inHand: 0,
    });
  });

  test("every place on a packet's way is seen", () => {
    const rig = rigOf();
    const owner = rig.owner(syn);
    const places = () => {
      const { places, missing, duplicated, invalid } = rig.audit();
      assert.deepEqual({ missing, duplicated, invalid }, { missing: [], duplicated: [], invalid: [] });
      return Object.fromEntries(Object.entries(places).filter(([, frames]) => frames > 0));
    };
    rig.deliver(1 - owner, syn);
    assert.deepEqual(places(), { fill: COUNT - 1, rx: 1 });
    rig.run(1 - owner);
    assert.deepEqual(places(), { fill: COUNT - 1, handoff: 1 });
    rig.run(owner);
    assert.deepEqual(places(), { fill: COUNT - 1, tx: 1 });
    rig.collect();
    assert.deepEqual(places(), { fill: COUNT - 1, completion: 1 });
    // The other worker holds the queue's lock: the frame stays until it lets go.
    const lock = rig.engine.arena.plan.regions.queues.offset + L.QUEUE_LOCK;
    rig.engine.arena.setWord(lock, 1 + (1 - owner));
    rig.instance(owner).settle();
    assert.deepEqual(places(), { fill: COUNT - 1, completion: 1 });
    rig.engine.arena.setWord(lock, 0);
    rig.instance(owner).settle();
    assert.deepEqual(places(), { fill: COUNT });
  });

  test("a dropped packet's frame waits on the worker's free list while the queue is locked", () => {
    const rig = rigOf();
    const lock = rig.engine.arena.plan.regions.queues.offset + L.QUEUE_LOCK;
    rig.engine.arena.setWord(lock, 2);
    rig.deliver(0, syn.slice(0, 13));
    rig.run(0);
    assert.equal(rig.audit().places.free, 1);
    assert.deepEqual(rig.audit().missing, []);
  });

  test("a frame that is nowhere is missing", () => {
    const rig = rigOf();
    rig.queues[0]!.takeFrame();
    const second = rig.queues[0]!.takeFrame()!;
    assert.deepEqual(rig.audit().missing, [0, second]);
    assert.equal(rig.audit().places.fill, COUNT - 2);
  });

  test("a frame in two places is duplicated, within a ring and across", () => {
    const rig = rigOf();
    setOffered(rig, 5, 7 * FRAME);
    assert.deepEqual([rig.audit().duplicated, rig.audit().missing], [[7 * FRAME], [5 * FRAME]]);
    const frame = rig.deliver(0, syn)!;
    setOffered(rig, 9, frame + 300);
    assert.deepEqual(rig.audit().duplicated, [frame, 7 * FRAME], "wherever in its frame an address points");
  });

  test("an address that is in no frame is invalid", () => {
    const rig = rigOf();
    setOffered(rig, 0, COUNT * FRAME);
    assert.deepEqual(rig.audit().invalid, [COUNT * FRAME]);
    assert.deepEqual(rig.audit().missing, [0]);
  });
});
