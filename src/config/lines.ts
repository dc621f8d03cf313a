/**
 * Where lines begin in a text, to turn offsets into lines and columns. (LineCounter of the yaml package misses lines
 * after some errors.)
 */
export class Lines {
  /** Offsets, ascending; the first is 0. */
  readonly #starts: number[] = [0];
  readonly #length: number;

  constructor(text: string) {
    this.#length = text.length;
    for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) this.#starts.push(at + 1);
  }

  /** Line and column, both from 1 and in UTF-16 units, of an offset; of the end for an offset beyond it. */
  position(offset: number): { line: number; column: number } {
    const at = Math.min(Math.max(0, offset), this.#length);
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#starts[middle]! <= at) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: at - this.#starts[low]! + 1 };
  }
}
