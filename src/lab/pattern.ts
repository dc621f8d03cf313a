/**
 * Pseudo-random bytes that both ends of a transfer can make for themselves, from any position: word i, little-endian, is a
 * mix of the seed and i (the finaliser of MurmurHash3). Not a secret, just never the same twice nearby.
 */

/** Bytes are made in pieces of this size; positions given to `fillPattern` are multiples of 4. */
export const PIECE_BYTES = 65536;

/** Fills `target`, whose first byte stands at `position` (a multiple of 4) of the stream. */
export function fillPattern(target: Buffer, seed: number, position: number): void {
  const whole = target.length & ~3;
  let word = position >>> 2;
  for (let at = 0; at < whole; at += 4) target.writeInt32LE(mix(seed, word++), at);
  const rest = mix(seed, word);
  for (let at = whole; at < target.length; at++) target[at] = rest >>> ((at & 3) * 8);
}

/** The pieces of a stream of `bytes` bytes, each in a buffer of its own. */
export function* patternPieces(bytes: number, seed: number): Generator<Buffer> {
  for (let position = 0; position < bytes; position += PIECE_BYTES) {
    const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, bytes - position));
    fillPattern(piece, seed, position);
    yield piece;
  }
}

/** Compares a stream with the pattern as it arrives, whatever the sizes of its chunks. */
export class PatternCheck {
  /** Bytes seen so far, all of them right while `mismatch` is undefined. */
  bytes = 0;
  /** Position of the first wrong byte. */
  mismatch: number | undefined;
  readonly #seed: number;
  readonly #piece = Buffer.allocUnsafe(PIECE_BYTES);

  constructor(seed: number) {
    this.#seed = seed;
  }

  add(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && this.mismatch === undefined; ) {
      const inside = this.bytes % PIECE_BYTES;
      if (inside === 0) fillPattern(this.#piece, this.#seed, this.bytes);
      const length = Math.min(chunk.length - at, PIECE_BYTES - inside);
      const expected = this.#piece.subarray(inside, inside + length);
      const found = chunk.subarray(at, at + length);
      if (!found.equals(expected))
        this.mismatch = this.bytes + found.findIndex((byte, index) => byte !== expected[index]);
      this.bytes += length;
      at += length;
    }
  }
}

function mix(seed: number, word: number): number {
  let h = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ word;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
