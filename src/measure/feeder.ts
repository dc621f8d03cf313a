// The other end of a worker's rings, in the worker's own thread: where there are as many workers as processors, nobody else is
// left to feed them. It is not part of what is timed.

import * as L from "../../assembly/layout.ts";
import type { Ring } from "../dataplane/rings.ts";
import type { Packets } from "./traffic.ts";

/** The rings of a worker's own queue. */
export interface FeedRings {
  rx: Ring;
  tx: Ring;
  fill: Ring;
  completion: Ring;
}

export class Feeder {
  readonly #rings: FeedRings;
  readonly #frames: number;
  readonly #words: Int32Array;

  /** @param frames arena address of the frames */
  constructor(memory: WebAssembly.Memory, rings: FeedRings, frames: number) {
    this.#words = new Int32Array(memory.buffer);
    this.#rings = rings;
    this.#frames = frames;
  }

  #index(at: number): number {
    return Atomics.load(this.#words, at / 4);
  }

  /** Puts up to `count` packets into RX, as many as there are frames. @returns how many */
  offer(packets: Packets, count: number): number {
    const { rx, fill } = this.#rings;
    const words = this.#words;
    const first = this.#index(fill.consumer);
    const room = rx.mask + 1 - ((this.#index(rx.producer) - this.#index(rx.consumer)) | 0);
    const most = Math.min(count, room, (this.#index(fill.producer) - first) | 0);
    const producer = this.#index(rx.producer);
    for (let i = 0; i < most; i++) {
      const frame =
        words[(fill.descriptors + ((first + i) & fill.mask) * L.FRAME_DESCRIPTOR_BYTES) / 4]! >>> 0;
      const length = packets.write(this.#frames + frame + L.HEADROOM);
      const slot = (rx.descriptors + ((producer + i) & rx.mask) * L.PACKET_DESCRIPTOR_BYTES) / 4;
      words[slot] = frame + L.HEADROOM;
      words[slot + 1] = 0;
      words[slot + 2] = length;
      words[slot + 3] = 0;
    }
    Atomics.store(words, fill.consumer / 4, first + most);
    Atomics.store(words, rx.producer / 4, producer + most);
    return most;
  }

  /** Takes what was sent from TX and returns the frames. @returns how many */
  collect(): number {
    const { tx, completion } = this.#rings;
    const words = this.#words;
    const first = this.#index(tx.consumer);
    const count = (this.#index(tx.producer) - first) | 0;
    const completed = this.#index(completion.producer);
    for (let i = 0; i < count; i++) {
      const slot = (tx.descriptors + ((first + i) & tx.mask) * L.PACKET_DESCRIPTOR_BYTES) / 4;
      const back =
        (completion.descriptors + ((completed + i) & completion.mask) * L.FRAME_DESCRIPTOR_BYTES) / 4;
      words[back] = words[slot]!;
      words[back + 1] = 0;
    }
    Atomics.store(words, tx.consumer / 4, first + count);
    Atomics.store(words, completion.producer / 4, completed + count);
    return count;
  }
}
