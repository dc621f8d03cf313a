import assert from "node:assert/strict";
import { test } from "node:test";
import { fillPattern, PatternCheck, PIECE_BYTES, patternPieces } from "../../src/lab/pattern.ts";

test("any part of the pattern can be made by itself", () => {
  const whole = Buffer.concat([...patternPieces(PIECE_BYTES * 2 + 7, 5)]);
  assert.equal(whole.length, PIECE_BYTES * 2 + 7);
  const part = Buffer.alloc(1001);
  fillPattern(part, 5, PIECE_BYTES - 40);
  assert.deepEqual(part, whole.subarray(PIECE_BYTES - 40, PIECE_BYTES - 40 + 1001));
});

test("seeds give different bytes, and bytes are spread evenly", () => {
  const [a, b] = [1, 2].map((seed) => Buffer.concat([...patternPieces(65536, seed)]));
  let same = 0;
  const counts = new Uint32Array(256);
  for (let at = 0; at < 65536; at++) {
    if (a![at] === b![at]) same++;
    counts[a![at]!]!++;
  }
  assert.ok(same < 400, `${same} bytes are the same, 256 expected`);
  assert.ok(Math.min(...counts) > 170 && Math.max(...counts) < 350, "256 of each expected");
});

for (const size of [1, 1000, PIECE_BYTES, PIECE_BYTES + 1]) {
  test(`a stream in chunks of ${size} bytes is compared to the byte`, () => {
    const stream = Buffer.concat([...patternPieces(PIECE_BYTES + 5000, 9)]);
    const chunks = (bytes: Buffer) => {
      const check = new PatternCheck(9);
      for (let at = 0; at < bytes.length; at += size) check.add(bytes.subarray(at, at + size));
      return check;
    };
    assert.deepEqual([chunks(stream).mismatch, chunks(stream).bytes], [undefined, stream.length]);
    stream[PIECE_BYTES + 123]! ^= 1;
    assert.equal(chunks(stream).mismatch, PIECE_BYTES + 123);
  });
}
