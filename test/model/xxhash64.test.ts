import assert from "node:assert/strict";
import { test } from "node:test";
import { xxHash64 } from "./xxhash64.ts";

const PRIME32 = 2654435761n;

/** The buffer of xxHash's own self-test: cli/xsum_sanity_check.c. */
function sanityBuffer(length: number): Uint8Array {
  let generator = PRIME32;
  return Uint8Array.from({ length }, () => {
    const byte = Number(generator >> 56n);
    generator = BigInt.asUintN(64, generator * 11400714785074694797n);
    return byte;
  });
}

test("xxHash64 agrees with the vectors of xxHash's self-test", () => {
  const vectors: [number, bigint, bigint][] = [
    [0, 0xef46db3751d8e999n, 0xac75fda2929b17efn],
    [1, 0xe934a84adb052768n, 0x5014607643a9b4c3n],
    [4, 0x9136a0dca57457een, 0xcaab286bd8e9fdb5n],
    [14, 0x8282dcc4994e35c8n, 0xc3bd6bf63deb6df0n],
    [222, 0xb641ae8cb691c174n, 0x20cb8ab7ae10c14an],
  ];
  for (const [length, unseeded, seeded] of vectors) {
    assert.equal(xxHash64(sanityBuffer(length), 0n), unseeded, `${length} bytes`);
    assert.equal(xxHash64(sanityBuffer(length), PRIME32), seeded, `${length} bytes, seeded`);
  }
});

test("xxHash64 agrees with well-known hashes of text", () => {
  const hash = (text: string) => xxHash64(new TextEncoder().encode(text), 0n);
  assert.equal(hash("a"), 0xd24ec4f1a98c6e5bn);
  assert.equal(hash("abc"), 0x44bc2cf5ad770999n);
  assert.equal(hash("Nobody inspects the spammish repetition"), 0xfbcea83c8a378bf1n);
});
