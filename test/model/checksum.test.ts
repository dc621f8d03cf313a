import assert from "node:assert/strict";
import { test } from "node:test";
import { checksum, onesSum, updated } from "./checksum.ts";

test("the example of RFC 1071 §3", () => {
  const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
  assert.equal(onesSum(bytes), 0xddf2);
  assert.equal(checksum(bytes), 0x220d);
});

test("an odd last byte is the high half of a word", () => {
  assert.equal(onesSum(Uint8Array.of(0x12, 0x34, 0x56)), 0x1234 + 0x5600);
});

test("the example of RFC 1624 §4, where the older equation goes wrong", () => {
  assert.equal(updated(0xdd2f, 0x5555, 0x3285), 0x0000);
});
