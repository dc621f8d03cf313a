// Rings in the arena: where each lies, and the description that workers read (RING_* of layout.ts).

import * as L from "../../assembly/layout.ts";
import { GuidewayError } from "../errors.ts";
import type { Arena } from "./arena.ts";

/** Arena offsets of a ring's parts; the kernel's or our own. */
export interface Ring {
  producer: number;
  consumer: number;
  flags: number;
  descriptors: number;
  /** Number of descriptors − 1. */
  mask: number;
}

/** A ring of our own at an address. */
export function memoryRing(at: number, entries: number): Ring {
  return {
    producer: at + L.MEMORY_RING_PRODUCER,
    consumer: at + L.MEMORY_RING_CONSUMER,
    flags: at + L.MEMORY_RING_FLAGS,
    descriptors: at + L.MEMORY_RING_DESCRIPTORS,
    mask: entries - 1,
  };
}

/** Writes a ring's description. */
export function describeRing(arena: Arena, at: number, ring: Ring): void {
  arena.setWord(at + L.RING_PRODUCER, ring.producer);
  arena.setWord(at + L.RING_CONSUMER, ring.consumer);
  arena.setWord(at + L.RING_FLAGS, ring.flags);
  arena.setWord(at + L.RING_DESCRIPTORS, ring.descriptors);
  arena.setWord(at + L.RING_MASK, ring.mask);
}

/** Hands out the rings region. */
export class RingAllocator {
  #next: number;
  readonly #end: number;

  constructor(arena: Arena) {
    const { offset, bytes } = arena.plan.regions.rings;
    this.#next = offset;
    this.#end = offset + bytes;
  }

  take(bytes: number): number {
    const at = this.#next;
    this.#next += bytes;
    if (this.#next > this.#end) {
      throw new GuidewayError(
        "RINGS",
        `the rings region ends at ${this.#end}, ${this.#next} would be needed: the arena was planned for fewer queues`,
      );
    }
    return at;
  }
}
