// One queue of an interface that exists in memory only. It plays the kernel's part on the four rings: takes
// frames from FILL, delivers packets through RX, collects what workers put into TX, returns the frames by COMPLETION.
// Pcap files, generated traffic and self-tests enter the engine here.

import * as L from "../../assembly/layout.ts";
import type { Engine } from "../dataplane/engine.ts";
import { SELF_TEST_RING_ENTRIES } from "../dataplane/plan.ts";
import { memoryRing, type Ring } from "../dataplane/rings.ts";
import type { PortRings, QueueRings } from "../dataplane/wiring.ts";

/** A packet that a worker sent. */
export interface Transmitted {
  /** Offset of its frame into the frames region. */
  frame: number;
  /** Arena address of its first byte, and how many there are; valid until complete(). */
  start: number;
  length: number;
}

export class MemoryQueue {
  readonly #engine: Engine;
  readonly #rings: QueueRings;
  /** By worker. */
  readonly #ports: PortRings[] = [];
  /** Largest packet that a frame holds behind its headroom. */
  readonly capacity: number;

  /**
   * Adds a queue, and a port for every worker, to an engine that is not running yet. It plays an interface, or is the
   * controller's way to test the workers, with two frames for each (Shape.selfTest).
   */
  constructor(engine: Engine, plays: number | "self-test") {
    this.#engine = engine;
    const { plan } = engine.arena;
    this.capacity = plan.frameBytes - L.HEADROOM;
    const tests = plays === "self-test";
    const frameRing = () => memoryRing(engine.rings.take(plan.frameRingBytes), plan.frameRingEntries);
    const packetRing = () => memoryRing(engine.rings.take(plan.packetRingBytes), plan.packetRingEntries);
    const smallRing = () => memoryRing(engine.rings.take(plan.selfTestRingBytes), SELF_TEST_RING_ENTRIES);
    this.#rings = {
      fill: tests ? smallRing() : frameRing(),
      completion: tests ? smallRing() : frameRing(),
    };
    const queue = engine.wiring.addQueue(this.#rings, tests ? 2 * engine.workers : 0);
    for (let worker = 0; worker < engine.workers; worker++) {
      const port = { rx: tests ? smallRing() : packetRing(), tx: tests ? smallRing() : packetRing() };
      this.#ports.push(port);
      if (tests) engine.wiring.addPort(worker, queue, L.NO_INTERFACE, port, "self-test");
      else engine.wiring.addPort(worker, queue, plays, port);
    }
  }

  #frameSlot(ring: Ring, index: number): number {
    return (ring.descriptors + (index & ring.mask) * L.FRAME_DESCRIPTOR_BYTES) / 8;
  }

  #packetSlot(ring: Ring, index: number): number {
    return ring.descriptors + (index & ring.mask) * L.PACKET_DESCRIPTOR_BYTES;
  }

  /** Takes a frame from FILL. @returns its offset, undefined when there is none */
  takeFrame(): number | undefined {
    const { arena } = this.#engine;
    const { fill } = this.#rings;
    const consumer = arena.word(fill.consumer);
    if (consumer === arena.word(fill.producer)) return undefined;
    const frame = Number(arena.u64[this.#frameSlot(fill, consumer)]);
    arena.setWord(fill.consumer, consumer + 1);
    return frame;
  }

  /** Returns frames from FILL unused, as many as there are, so that workers have them again. */
  returnFrames(count: number): void {
    const { arena } = this.#engine;
    const { completion } = this.#rings;
    for (let i = 0; i < count; i++) {
      const frame = this.takeFrame();
      if (frame === undefined) return;
      const producer = arena.word(completion.producer);
      arena.u64[this.#frameSlot(completion, producer)] = BigInt(frame);
      arena.setWord(completion.producer, (producer + 1) >>> 0);
    }
  }

  /** Arena address of the first byte of a packet in a frame. */
  address(frame: number): number {
    return this.#engine.arena.plan.regions.frames.offset + frame + L.HEADROOM;
  }

  /** Packets that a worker has not taken from its RX ring yet. */
  waiting(worker: number): number {
    const { arena } = this.#engine;
    const { rx } = this.#ports[worker]!;
    return (arena.word(rx.producer) - arena.word(rx.consumer)) >>> 0;
  }

  /** Free descriptors in a worker's RX ring. */
  room(worker: number): number {
    return this.#ports[worker]!.rx.mask + 1 - this.waiting(worker);
  }

  /** Shows a packet of `length` bytes, written at address(frame), to a worker that has room. */
  deliver(worker: number, frame: number, length: number): void {
    const { arena } = this.#engine;
    const { rx } = this.#ports[worker]!;
    const producer = arena.word(rx.producer);
    const slot = this.#packetSlot(rx, producer);
    arena.u64[slot / 8] = BigInt(frame + L.HEADROOM);
    arena.u32[slot / 4 + 2] = length;
    arena.setWord(rx.producer, producer + 1);
  }

  /** Takes what a worker sent and returns the frames. `each` may read the packet while it runs. */
  collect(worker: number, each: (packet: Transmitted) => void): number {
    const { arena } = this.#engine;
    const { tx } = this.#ports[worker]!;
    const { completion } = this.#rings;
    const { frameBytes, regions } = arena.plan;
    const producer = arena.word(tx.producer);
    const from = arena.word(tx.consumer);
    let completed = arena.word(completion.producer);
    let consumer = from;
    for (; consumer !== producer; consumer = (consumer + 1) >>> 0) {
      const slot = this.#packetSlot(tx, consumer);
      const address = arena.u32[slot / 4]!;
      const frame = address - (address % frameBytes);
      each({ frame, start: regions.frames.offset + address, length: arena.u32[slot / 4 + 2]! });
      arena.u64[this.#frameSlot(completion, completed)] = BigInt(address);
      completed = (completed + 1) >>> 0;
    }
    arena.setWord(tx.consumer, consumer);
    arena.setWord(completion.producer, completed);
    return (consumer - from) >>> 0;
  }
}
