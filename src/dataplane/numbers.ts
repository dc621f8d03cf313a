// Numbers for things that come and go: ids of backends, indices of pools, counters of VIPs, services.
//
//   free     take(key)  ─▶ in use     the same key keeps its number
//   in use   rest(key)  ─▶ resting    packets or connection table entries may still refer to it
//   resting  reclaim()  ─▶ free       nobody does any more
//
//   reserved, before anything else is taken: a process before gave it to a key (persistence/)
//            take(key)  ─▶ in use;  restReserved()  ─▶ resting

import { GuidewayError } from "../errors.ts";

interface Resting {
  number: number;
  ready: () => boolean;
  last: () => void;
}

/** What has which number, and which ones may still be referred to. */
export interface Numbering {
  named: [key: string, number: number][];
  resting: number[];
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
  /** Numbers of keys that have not been taken again yet, and of keys that were gone before. */
  readonly #reserved = new Map<string, number>();
  #ownerless: number[] = [];

  /** @param what plural, for errors; numbers run from `first` to `end` − 1 */
  constructor(what: string, first: number, end: number) {
    this.#what = what;
    this.#first = first;
    this.#next = first;
    this.#end = end;
  }

  /** Keeps the numbers of a process before for their keys. Once, first; all are in the range, none is twice. */
  reserve({ named, resting }: Numbering): void {
    for (const [key, number] of named) this.#reserved.set(key, number);
    this.#ownerless = resting;
    const reserved = new Set([...this.#reserved.values(), ...resting]);
    for (const number of reserved) this.#next = Math.max(this.#next, number + 1);
    for (let number = this.#next - 1; number >= this.#first; number--)
      if (!reserved.has(number)) this.#free.push(number);
  }

  /** What nobody has taken again rests like what is taken back: see rest(). */
  restReserved(ready: () => boolean): void {
    for (const number of [...this.#reserved.values(), ...this.#ownerless])
      this.#resting.push({ number, ready, last: () => {} });
    this.#reserved.clear();
    this.#ownerless = [];
  }

  numbering(): Numbering {
    return { named: [...this.#byKey], resting: this.#resting.map(({ number }) => number) };
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
    const reserved = this.#reserved.get(key);
    if (reserved !== undefined) {
      this.#reserved.delete(key);
      this.#byKey.set(key, reserved);
      return reserved;
    }
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
