/**
 * Numbers below a bound in a shuffled order without a table of them: each comes once, then another order begins. Three
 * rounds of multiplication by an odd number and an xor-shift, which are bijections of the bits below a power of
 * two; what is not below the bound is skipped. The same sequence every time.
 */
export class Shuffle {
  readonly #bound: number;
  readonly #mask: number;
  readonly #shift: number;
  #index = 0;
  #round = 0;

  /** @param bound at most 2³⁰ */
  constructor(bound: number) {
    const bits = Math.ceil(Math.log2(Math.max(2, bound)));
    this.#bound = bound;
    this.#mask = 2 ** bits - 1;
    this.#shift = Math.max(1, bits >> 1);
  }

  next(): number {
    for (;;) {
      if (this.#index > this.#mask) {
        this.#index = 0;
        this.#round = (this.#round + 1) | 0;
      }
      let x = this.#index++ ^ this.#round;
      x = (Math.imul(x, 0x9e3779b1) + Math.imul(this.#round, 0x61c88647)) & this.#mask;
      x ^= x >>> this.#shift;
      x = Math.imul(x, 0x85ebca6b) & this.#mask;
      x ^= x >>> this.#shift;
      x = Math.imul(x, 0xc2b2ae35) & this.#mask;
      x ^= x >>> this.#shift;
      if (x < this.#bound) return x;
    }
  }
}
