// How an idle worker sleeps and how it is woken.
//
// With sockets it waits in ppoll on all of them and on an eventfd; without, on a word of the arena by Atomics.wait
// (V8's is not a futex that native code could wake). Either way: it shows "offline" first and then looks at
// its rings once more, while whoever gives it work writes the ring first and then looks for "offline". One
// of the two sees the other.

import * as L from "../../assembly/layout.ts";
import type { Native } from "../native.ts";

export interface Parking {
  /** Sleeps until there is work, at most so long. */
  wait(timeoutUs: number): void;
  /** Wakes another worker. */
  wake(worker: number): void;
}

/** For workers whose ports are all in memory. */
export class MemoryParking implements Parking {
  readonly #words: Int32Array;
  readonly #signals: number[];
  readonly #own: number;

  /** @param blocks addresses of all workers' control blocks, by number */
  constructor(memory: WebAssembly.Memory, worker: number, blocks: number[]) {
    this.#words = new Int32Array(memory.buffer);
    this.#signals = blocks.map((block) => (block + L.WORKER_SIGNAL) / 4);
    this.#own = this.#signals[worker] ?? 0;
  }

  wait(timeoutUs: number): void {
    // A wake between the look at the rings and here has made the word 1.
    Atomics.wait(this.#words, this.#own, 0, timeoutUs / 1000);
    Atomics.store(this.#words, this.#own, 0);
  }

  wake(worker: number): void {
    const at = this.#signals[worker]!;
    Atomics.store(this.#words, at, 1);
    Atomics.notify(this.#words, at);
  }
}

export class SocketParking implements Parking {
  readonly #native: Native;
  readonly #sockets: Int32Array;
  readonly #events: number[];
  readonly #own: number;

  constructor(native: Native, worker: number, sockets: number[], events: number[]) {
    this.#native = native;
    this.#sockets = Int32Array.from(sockets);
    this.#events = events;
    this.#own = events[worker]!;
  }

  wait(timeoutUs: number): void {
    this.#native.wait(this.#sockets, this.#own, timeoutUs);
  }

  wake(worker: number): void {
    this.#native.signalEvent(this.#events[worker]!);
  }
}
