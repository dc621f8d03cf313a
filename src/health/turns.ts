// When a probe has its turns: at a fixed phase of its interval, which follows from its key, so that many of them
// spread evenly and a restart changes nothing; each turn a little early or late.
import type { ProbeTarget } from "./target.ts";

/** First checks in a second: as many as a thread can do. */
const FIRST_PER_MS = 10;

/** FNV-1a, 32 bits, with a final mix so that similar keys land apart. */
function hash(text: string): number {
  let word = 0x811c9dc5;
  for (let index = 0; index < text.length; index++)
    word = Math.imul(word ^ text.charCodeAt(index), 0x01000193);
  return mix(word);
}

/** The finalizer of MurmurHash3. */
function mix(word: number): number {
  let mixed = word;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

export class Turns {
  readonly #interval: number;
  readonly #jitter: number;
  readonly #seed: number;
  /** Time of turn 0. */
  readonly #base: number;
  #turn: number;
  /** When it is to start next. */
  due: number;

  /**
   * @param now milliseconds of any clock
   * @param together how many start with it: their first checks follow each other as fast as is sensible, within an
   * interval at most
   */
  constructor(
    key: string,
    { interval, jitter }: Pick<ProbeTarget["check"], "interval" | "jitter">,
    now: number,
    together: number,
  ) {
    this.#interval = interval;
    this.#jitter = jitter;
    this.#seed = hash(key);
    const phase = this.#seed / 2 ** 32;
    this.#base = now + phase * interval;
    this.due = now + phase * Math.min(interval, together / FIRST_PER_MS);
    // The first check is one more, unless turn 0 is near.
    this.#turn = this.#base - this.due >= interval / 2 ? -1 : 0;
  }

  /** Goes on to the next turn that is not over yet. @returns how many were missed */
  advance(now: number): number {
    const next = this.#turn + 1;
    this.#turn = Math.max(next, Math.ceil((now - this.#base) / this.#interval));
    const random = mix(this.#seed ^ Math.imul(this.#turn, 0x9e3779b1)) / 2 ** 32;
    this.due = Math.max(now, this.#base + this.#turn * this.#interval + (2 * random - 1) * this.#jitter);
    return this.#turn - next;
  }
}
