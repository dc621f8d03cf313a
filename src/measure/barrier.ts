// Where threads wait for each other, over and over: nobody goes on before all have come.
//
// They spin, because what is measured between two barriers takes microseconds, and sleep when that lasts: on a machine with fewer
// processors than threads, the one that is awaited needs the processor.

/** Words that a barrier takes. */
export const BARRIER_WORDS = 2;
const SPINS = 20_000;

export class Barrier {
  readonly #words: Int32Array;
  readonly #parties: number;

  /** @param words BARRIER_WORDS of shared memory, zero at first, and the same for all parties */
  constructor(words: Int32Array, parties: number) {
    this.#words = words;
    this.#parties = parties;
  }

  /** Blocks the thread until all parties are here. */
  wait(): void {
    const round = Atomics.load(this.#words, 1);
    if (Atomics.add(this.#words, 0, 1) === this.#parties - 1) {
      Atomics.store(this.#words, 0, 0);
      Atomics.store(this.#words, 1, round + 1);
      Atomics.notify(this.#words, 1);
      return;
    }
    for (let spin = 0; spin < SPINS; spin++) if (Atomics.load(this.#words, 1) !== round) return;
    while (Atomics.load(this.#words, 1) === round) Atomics.wait(this.#words, 1, round);
  }
}
