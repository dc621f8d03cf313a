// Tables that are replaced while two threads read them. Each table's content is its generation, and freed memory is full of
// poison: whoever reads a table that is not finished, or not there any more, cannot fail to tell.

import assert from "node:assert/strict";
import { once } from "node:events";
import { suite, test } from "node:test";
import { Worker } from "node:worker_threads";
import * as L from "../../assembly/layout.ts";
import { runs } from "../runs.ts";
import { nthFlow, packetOf } from "./collisions.ts";
import { republish } from "./republish.ts";
import { Rig } from "./rig.ts";

/** Backends take turns as the only one in the table: the id of a generation comes again after so many. */
const BACKENDS = 900;
const WORKERS = 2;
const POISON = 0xff;
const SERVICE = { number: 2, address: "10.99.0.1", protocol: "tcp", port: 80 } as const;
const DEADLINE_MS = 60_000;

/** Two octets of the backend's address, and so of its MAC address offline. */
const addressOf = (id: number) => `10.0.${id >> 8}.${id & 255}`;

/** Sizes of the tables: of each pool, so that blocks of different sizes are freed and taken again. */
const SIZES = { a: 251, b: 4093 };

class Publisher {
  readonly rig: Rig;
  /** Of the table that was published last: it has backend 1 + generation % BACKENDS everywhere. */
  generation = 0;
  mostRetired = 0;
  freed = 0;

  constructor() {
    const backends = Array.from({ length: BACKENDS }, (_, i) => ({
      name: `b${i + 1}`,
      address: addressOf(i + 1),
    }));
    this.rig = new Rig(
      {
        conntrack: { flows: 1 },
        pools: {
          a: { tableSize: SIZES.a, backends },
          b: { tableSize: SIZES.b, backends: [{ name: "other", address: "10.0.9.9" }] },
        },
        vips: [{ name: "web", address: SERVICE.address, port: SERVICE.port, pool: "a" }],
      },
      { workers: WORKERS },
    );
    const { heap, directory, arena } = this.rig.engine;
    directory.buildTable = (pool) => {
      return new Uint16Array(SIZES[pool as keyof typeof SIZES]).fill(1 + (this.generation % BACKENDS));
    };
    const free = heap.free.bind(heap);
    heap.free = (block) => {
      const size = L.TABLE_SLOTS + 2 * arena.word(block + L.TABLE_SIZE);
      arena.u8.fill(POISON, block, block + size);
      this.freed++;
      free(block);
    };
    arena.f64[L.HEADER_CLOCK / 8] = 16;
    // Both pools have tables of their full sizes from here on.
    for (const pool of Object.keys(SIZES)) republish(directory, pool);
    this.freed = 0;
  }

  /** Publishes the next generation; also a table that nobody reads, which moves the blocks about. */
  publish(): void {
    const { directory, publication } = this.rig.engine;
    this.generation++;
    republish(directory, "a");
    if (this.generation % 3 === 0) republish(directory, "b");
    this.mostRetired = Math.max(this.mostRetired, publication.retired);
  }
}

async function until(what: string, done: () => boolean): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!done()) {
    assert.ok(performance.now() < deadline, what);
    await new Promise(setImmediate);
  }
}

suite("publication", () => {
  const { tables } = runs.publication;

  test(`${tables} tables under load: no packet sees one that is half published or freed`, async () => {
    const publisher = new Publisher();
    const { rig } = publisher;
    const { heap, publication } = rig.engine;
    const used = heap.used;
    const pool = rig.start();
    /** Generation when the packet in a frame was shown to its worker. */
    const since = new Map<number, number>();
    /** Packets by how many generations newer their table was than what was published when they came. */
    const ages = new Map<number, number>();
    let checked = 0;
    let mostUsed = 0;
    let flow = 0;

    const deliver = () => {
      for (let n = 0; n < 64; n++) {
        const frame = rig.deliver(n % WORKERS, packetOf(nthFlow(SERVICE, flow % 2 ** 24)));
        if (frame === undefined) return;
        since.set(frame, publisher.generation);
        flow++;
      }
    };
    const check = () => {
      const sent = new Map(rig.collect().map((each) => [each.frame, each.bytes]));
      for (const { frame, reason, backend, slot } of rig.records()) {
        const from = since.get(frame)!;
        // A flow that came before is a hit, if the table has it still; then nothing was read.
        if (reason === "hit") continue;
        // Whether there is room to send it is another matter.
        assert.match(reason, /^(new|tx-full)$/);
        const age = (backend - 1 - (from % BACKENDS) + BACKENDS) % BACKENDS;
        assert.ok(
          backend >= 1 && age <= publisher.generation - from,
          `backend ${backend} is of none of the generations ${from} to ${publisher.generation}`,
        );
        assert.ok(slot < SIZES.a);
        ages.set(age, (ages.get(age) ?? 0) + 1);
        checked++;
        const bytes = sent.get(frame);
        if (bytes)
          assert.deepEqual([...bytes.subarray(4, 6)], [backend >> 8, backend & 255], "its own MAC address");
      }
    };

    try {
      await until("the workers take packets", () => {
        deliver();
        check();
        return checked > 1000;
      });
      const deadline = performance.now() + DEADLINE_MS;
      while (publisher.generation < tables) {
        deliver();
        for (let n = 0; n < 8; n++) {
          publisher.publish();
          mostUsed = Math.max(mostUsed, heap.used);
          check();
        }
        assert.ok(performance.now() < deadline, `${publisher.generation} tables in time`);
        await new Promise(setImmediate);
      }
      await until("all packets are decided", () => {
        check();
        return rig.audit().places.rx === 0;
      });
      check();
      await until("all tables are freed but the last", () => publication.reclaim() === 0);
    } finally {
      const reports = await pool.stop();
      assert.deepEqual(
        reports.map(({ traps }) => traps),
        [0, 0],
      );
    }
    console.log(`# ${checked} packets, ${tables} tables, at most ${publisher.mostRetired} retired`);
    assert.ok(checked > tables, `${checked} packets read a table`);
    assert.ok(
      [...ages.keys()].some((age) => age > 0),
      "some packets were overtaken by a table: there was a race",
    );
    assert.equal(heap.used, used, "the heap is as full as it was");
    assert.ok(mostUsed <= used + publisher.mostRetired * 16_384, "and never held more than what was retired");
    assert.equal(publisher.freed, publisher.generation + Math.floor(publisher.generation / 3));
  });

  test("threads that sleep keep nothing from being freed", async () => {
    const publisher = new Publisher();
    const { rig } = publisher;
    const { publication, heap } = rig.engine;
    const used = heap.used;
    const pool = rig.start({ spinUs: 0 });
    try {
      for (let round = 0; round < 5; round++) {
        await until("both workers sleep", () => rig.statistics.workers().every(({ parked }) => parked));
        for (let n = 0; n < 20; n++) publisher.publish();
        // One that just woke up to look around lets go when it sleeps again; no packet is needed for that.
        await until("everything is freed", () => publication.reclaim() === 0);
        assert.equal(heap.used, used);
      }
    } finally {
      await pool.stop();
    }
    assert.equal(
      rig.statistics.workers().reduce((sum, { packets }) => sum + packets, 0),
      0,
    );
  });

  test("a table is kept while a worker may be in the middle of it, and freed by its next batch", () => {
    const publisher = new Publisher();
    const { rig } = publisher;
    const { publication } = rig.engine;
    assert.equal(publication.retired, 0, "both workers are offline");
    rig.run(0);
    for (let n = 1; n <= 5; n++) {
      publisher.publish();
      assert.equal(
        publication.reclaim(),
        n + Math.floor(publisher.generation / 3),
        "worker 0 shows an older epoch",
      );
    }
    rig.run(1);
    assert.notEqual(publication.reclaim(), 0, "worker 1 has nothing to do with it");
    rig.run(0);
    assert.equal(publication.reclaim(), 0);

    publisher.publish();
    rig.run(1);
    assert.notEqual(publication.reclaim(), 0);
    rig.instance(0).park();
    assert.equal(publication.reclaim(), 0, "parked");
  });

  test("many changes in a row wait for a worker that is held up in the middle of a batch", async () => {
    const { rig } = new Publisher();
    const { arena, heap, directory, publication } = rig.engine;
    rig.run(0);
    // Another thread, as this one will stand still: it lets the worker's batch end after a while.
    const epochAt = (arena.workerBlock(0) + L.WORKER_EPOCH) / 4;
    const held = new Worker(
      `const { parentPort, workerData: [memory, at, value] } = require("node:worker_threads");
       parentPort.postMessage("ready");
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
       Atomics.store(new Uint32Array(memory.buffer), at, value);`,
      { eval: true, workerData: [arena.memory, epochAt, L.WORKER_OFFLINE] },
    );
    await once(held, "message");
    while (heap.hasRoom(L.TABLE_SLOTS + 2 * SIZES.b)) republish(directory, "b");
    assert.ok(publication.retired > 100);
    for (let n = 0; n < 1000; n++) republish(directory, "b");
    assert.equal(publication.reclaim(), 0);
    await once(held, "exit");
  });

  test("where a worker hangs for good, a change is refused and changes nothing", () => {
    const { rig } = new Publisher();
    const { arena, heap, directory } = rig.engine;
    rig.run(0);
    while (heap.hasRoom(L.TABLE_SLOTS + 2 * SIZES.a)) republish(directory, "a");
    const cell = arena.word(directory.poolRecord("a") + L.POOL_TABLE);
    const record = directory.backendRecord(7);
    assert.throws(() => directory.setBackendState(7, "dead"), { code: "TABLE_HEAP" });
    assert.equal(directory.backends[7]!.state, "active");
    assert.equal(arena.word(record + L.BACKEND_STATE), L.BACKEND_STATE_ACTIVE);
    assert.equal(arena.word(directory.poolRecord("a") + L.POOL_TABLE), cell);
    rig.run(0);
    directory.setBackendState(7, "dead");
    assert.equal(arena.word(record + L.BACKEND_STATE), L.BACKEND_STATE_DEAD);
  });

  test("the new table is in its cell before the epoch tells of it", () => {
    const publisher = new Publisher();
    const { arena, directory } = publisher.rig.engine;
    const cell = directory.poolRecord("a") + L.POOL_TABLE;
    const before = arena.word(cell);
    const seen: number[] = [];
    const setWord = arena.setWord.bind(arena);
    arena.setWord = (address, value) => {
      if (address === L.HEADER_EPOCH) seen.push(arena.word(cell));
      setWord(address, value);
    };
    publisher.publish();
    assert.notEqual(arena.word(cell), before);
    assert.deepEqual(seen, [arena.word(cell)]);
  });

  test("the epoch comes around, past the value that means offline", () => {
    const publisher = new Publisher();
    const { rig } = publisher;
    const { arena, publication } = rig.engine;
    arena.setWord(L.HEADER_EPOCH, L.WORKER_OFFLINE - 3);
    for (const expected of [L.WORKER_OFFLINE - 2, L.WORKER_OFFLINE - 1, 0, 1, 2]) {
      rig.run(0);
      rig.run(1);
      publisher.generation = 0;
      publisher.publish();
      assert.equal(publication.epoch, expected);
      assert.equal(publication.reclaim(), 1, `epoch ${expected}: worker 0 shows the one before`);
      rig.run(0);
      assert.equal(publication.reclaim(), 1, "worker 1 still does");
      rig.run(1);
      assert.equal(publication.reclaim(), 0);
    }
  });
});
