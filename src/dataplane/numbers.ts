// Numbers for things that come and go: ids of backends, indices of pools, counters of VIPs, services.
//
//   free     take(key)  ─▶ in use     the same key keeps its number
//   in use   rest(key)  ─▶ resting    packets or connection table entries may still refer to it
//   resting  reclaim()  ─▶ free       nobody does any more

import { GuidewayError } from "../errors.ts";

interface Resting {
  number: number;
  ready: () => boolean;
  last: () => void;
}

export class Numbers {
  readonly #what: string;
  readonly #first: number;
  readonly #end: number;
  readonly #byKey = new Map<string, number>();
  /** Given back, the smallest last. */
  #free: number[] = [];
  /** From here on none was ever used. */
  #next: number;
  #resting: Resting[] = [];

  /** @param what plural, for errors; numbers run from `first` to `end` − 1 */
  constructor(what: string, first: number, end: number) {
    this.#what = what;
    this.#first = first;
    this.#next = first;
    this.#end = end;
  }

  get(key: string): number | undefined {
    return this.#byKey.get(key);
  }

  keys(): string[] {
    return [...this.#byKey.keys()];
  }

  get resting(): number {
    return this.#resting.length;
  }

  /** The key's number, a new one if it has none. @throws GuidewayError CAPACITY */
  take(key: string): number {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    if (this.#free.length === 0 && this.#next >= this.#end) {
      throw new GuidewayError(
        "CAPACITY",
        `this process has room for ${this.#end - this.#first} ${this.#what}, ${this.#resting.length} of which left a short ` +
          "while ago: try again in a few minutes, or restart with the new configuration",
      );
    }
    const number = this.#free.pop() ?? this.#next++;
    this.#byKey.set(key, number);
    return number;
  }

  /** Takes a key's number back at once: nobody ever saw it. */
  drop(key: string): void {
    this.rest(key, () => true);
    this.reclaim();
  }

  /** Takes a key's number back; it is free when `ready`, after `last` was called. */
  rest(key: string, ready: () => boolean, last: () => void = () => {}): void {
    this.#resting.push({ number: this.#byKey.get(key)!, ready, last });
    this.#byKey.delete(key);
  }

  /** Frees what has rested long enough. */
  reclaim(): void {
    const rested = this.#resting.filter(({ ready }) => ready());
    if (rested.length === 0) return;
    this.#resting = this.#resting.filter((each) => !rested.includes(each));
    for (const { last } of rested) last();
    this.#free = [...this.#free, ...rested.map(({ number }) => number)].sort((a, b) => b - a);
  }
}
