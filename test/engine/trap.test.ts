// A trap is a defect of the data plane, which is induced here by breaking a published address: the worker gives the batch
// in its hands up, counts it, and goes on.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as L from "../../assembly/layout.ts";
import { macBytes } from "../../src/mac.ts";
import { offlineMac } from "../model/setup.ts";
import { packet } from "../packets/packet.ts";
import { anyConfig, Rig, type RigOptions } from "./rig.ts";

/** Behind the end of the memory here, with room for indices before addresses come around. */
const NOWHERE = 0xf0000000;
const BATCH = 16;

const config = anyConfig({ workers: { batch: BATCH } });

const syn = (n: number, to = "10.99.0.1") =>
  packet()
    .ethernet()
    .ipv4({ src: `192.0.2.${n & 255}`, dst: to })
    .tcp({ sport: 1024 + (n >> 8), dport: 80 })
    .bytes();

const ping = () => packet().ethernet().ipv4({ src: "192.0.2.1", dst: "10.99.0.1" }).icmp().bytes();

/** Makes what a VIP's flows need unreadable until the returned function is called. */
function breakServices({ engine: { arena } }: Rig): () => void {
  const at = arena.word(L.HEADER_SERVICES) + L.SERVICES_VIPS;
  const vips = arena.word(at);
  arena.setWord(at, NOWHERE - arena.word(L.HEADER_SERVICES));
  return () => arena.setWord(at, vips);
}

/** Makes the TX ring of an interface unwritable: its packets trap when others of the batch are there already. */
function breakTx({ engine: { arena } }: Rig, interfaceIndex: number): () => void {
  const port = arena.u8[arena.workerBlock(0) + L.WORKER_EGRESS + interfaceIndex]!;
  const at = arena.workerBlock(0) + L.WORKER_PORTS + port * L.PORT_BYTES + L.PORT_TX + L.RING_DESCRIPTORS;
  const descriptors = arena.word(at);
  arena.setWord(at, NOWHERE);
  return () => arena.setWord(at, descriptors);
}

function rigOf(options?: RigOptions): Rig {
  return new Rig(config, options);
}

/** Runs a worker as src/dataplane/worker.ts does. @returns traps */
function runThrough(rig: Rig): number {
  for (let traps = 0; ; traps++) {
    try {
      rig.run(0);
      return traps;
    } catch (error) {
      assert.ok(error instanceof WebAssembly.RuntimeError, String(error));
      rig.instance(0).abandon();
    }
  }
}

function checkFrames(rig: Rig): void {
  const { missing, duplicated, invalid, places } = rig.audit();
  assert.deepEqual({ missing, duplicated, invalid }, { missing: [], duplicated: [], invalid: [] });
  assert.equal(places.inHand, 0);
}

suite("traps", () => {
  test("a batch that traps is given up as a whole, and the next one is processed", () => {
    const rig = rigOf();
    for (let n = 0; n < BATCH + 4; n++) rig.deliver(0, syn(n));
    const mend = breakServices(rig);
    assert.throws(() => rig.run(0), WebAssembly.RuntimeError);
    assert.equal(rig.audit().places.inHand, BATCH);
    rig.instance(0).abandon();
    checkFrames(rig);
    assert.deepEqual(rig.statistics.reasons(), { trapped: BATCH });
    assert.equal(rig.statistics.workers()[0]!.traps, 1);
    assert.deepEqual(rig.collect(), [], "nothing of it was sent");

    mend();
    rig.run(0);
    assert.deepEqual(rig.statistics.reasons(), { new: 4, trapped: BATCH });
    assert.equal(rig.collect().length, 4);
    assert.ok(rig.settle());
    checkFrames(rig);
    assert.equal(rig.audit().places.fill, rig.audit().total);
  });

  test("a trap in the middle of sending shows nothing of the batch", () => {
    const rig = rigOf({ interfaces: 2 });
    const { directory } = rig.engine;
    for (const { id, config } of directory.backends.filter(Boolean)) {
      directory.setNextHop(id, { mac: macBytes(offlineMac(config.address)), interface: id % 2 });
    }
    const flows = 40;
    for (let n = 0; n < flows; n++) rig.deliver(0, syn(n));
    rig.run(0);
    const interfaces = new Set(rig.collect().map((each) => each.interface));
    assert.deepEqual([...interfaces].sort(), [0, 1]);
    rig.records();

    const mend = breakTx(rig, 1);
    for (let n = 0; n < flows; n++) rig.deliver(0, syn(n));
    const traps = runThrough(rig);
    mend();
    assert.equal(traps, Math.ceil(flows / BATCH), "each batch had a packet for the broken ring");
    assert.deepEqual(rig.collect(), []);
    assert.deepEqual(rig.records(), []);
    checkFrames(rig);
    assert.equal(rig.statistics.workers()[0]!.traps, traps);

    for (let n = 0; n < flows; n++) rig.deliver(0, syn(n));
    rig.run(0);
    const sent = rig.collect();
    assert.deepEqual(
      rig.records().map(({ reason }) => reason),
      Array(flows).fill("hit"),
    );
    assert.equal(sent.length, flows);
    rig.settle();
    checkFrames(rig);
  });

  test("every packet has one reason, trapped or not, wherever the batch was", () => {
    const rig = rigOf();
    const flows = 40;
    const deliver = (from: number) => {
      for (let n = from; n < from + flows; n++) rig.deliver(0, n % 4 === 0 ? ping() : syn(n));
    };
    deliver(0);
    rig.run(0);
    assert.deepEqual(rig.statistics.reasons(), { new: 30, echo: 10 });
    const mend = breakServices(rig);
    // Known flows trap when they are rewritten, new ones when they choose a backend, pings when they are parsed.
    deliver(0);
    deliver(flows);
    assert.equal(runThrough(rig), (2 * flows) / BATCH);
    mend();
    deliver(0);
    rig.run(0);
    assert.deepEqual(rig.statistics.reasons(), { hit: 30, new: 30, echo: 20, trapped: 2 * flows });
    assert.equal(rig.collect().length, 2 * flows);
    rig.settle();
    checkFrames(rig);
  });

  test("a worker thread counts the trap, tells it at its end, and goes on", async () => {
    const rig = rigOf();
    rig.engine.arena.f64[L.HEADER_CLOCK / 8] = 16;
    const mend = breakServices(rig);
    for (let n = 0; n < BATCH; n++) rig.deliver(0, syn(n));
    const pool = rig.start();
    const until = async (done: () => boolean) => {
      const deadline = performance.now() + 10_000;
      while (!done()) {
        assert.ok(performance.now() < deadline, JSON.stringify(rig.statistics.reasons()));
        await new Promise(setImmediate);
      }
    };
    try {
      await until(() => rig.statistics.reasons().trapped === BATCH);
      mend();
      for (let n = 0; n < 100; n++) rig.deliver(0, syn(n));
      let sent = 0;
      await until(() => {
        sent += rig.collect().length;
        return sent === 100;
      });
    } finally {
      const [report] = await pool.stop();
      assert.deepEqual([report!.drained, report!.traps], [true, 1]);
      assert.match(report!.trap!, /out of bounds/);
    }
    assert.deepEqual(rig.statistics.reasons(), { new: 100, trapped: BATCH });
    checkFrames(rig);
  });
});
