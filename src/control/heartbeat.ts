// Whether the workers' loops turn: they count their passes, asleep or not, ten times a second at least.

import { performance } from "node:perf_hooks";

/** A worker that sleeps wakes more often; one that has a processor to itself makes thousands of passes. */
const STUCK_MS = 2000;

interface Beat {
  passes: number;
  atMs: number;
}

export class Heartbeat {
  readonly #read: () => readonly number[];
  readonly #now: () => number;
  #beats: Beat[] = [];

  /**
   * @param read passes of each worker so far (WORKER_HEARTBEAT)
   * @param now a clock that never goes back, milliseconds
   */
  constructor(read: () => readonly number[], now: () => number = () => performance.now()) {
    this.#read = read;
    this.#now = now;
  }

  /**
   * Numbers of the workers that have not made a pass for two seconds, or since the last call when that is longer ago. To
   * be called again and again; nobody is stuck at the first call.
   */
  stuck(): number[] {
    const atMs = this.#now();
    this.#beats = this.#read().map((passes, worker) => {
      const before = this.#beats[worker];
      return before?.passes === passes ? before : { passes, atMs };
    });
    return this.#beats.flatMap((beat, worker) => (atMs - beat.atMs >= STUCK_MS ? [worker] : []));
  }
}
