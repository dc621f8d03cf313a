// The expected numbers were computed from docs/datapath.md by a separate program (Python).

import assert from "node:assert/strict";
import { test } from "node:test";
import { addressBytes } from "./bytes.ts";
import { flowKey, slotOf, type Tuple, tableHash } from "./flowkey.ts";
import { OFFLINE_SECRET } from "./setup.ts";

const port = (number: number) => Uint8Array.of(number >> 8, number & 255);

const tcp4: Tuple = {
  source: addressBytes("192.0.2.1"),
  destination: addressBytes("10.99.0.1"),
  sourcePort: port(40000),
  destinationPort: port(80),
  protocol: 6,
};

const udp6: Tuple = {
  source: addressBytes("2001:db8::1"),
  destination: addressBytes("2001:db8:99::1"),
  sourcePort: port(40000),
  destinationPort: port(443),
  protocol: 17,
};

test("flow keys of §2", () => {
  assert.equal(flowKey(OFFLINE_SECRET, tcp4, 2, false), 0x19460a30af38c6f4n);
  assert.equal(flowKey(OFFLINE_SECRET, udp6, 2, false), 0x9aa73561c6110ec8n);
});

test("lookup table hashes of §4", () => {
  assert.equal(tableHash(0x5ca1ab1en, tcp4), 0xfb179709n);
  assert.equal(tableHash(0x5ca1ab1en, udp6), 0xb2ba7753n);
});

test("the slot is the high word of hash × size", () => {
  assert.equal(slotOf(0n, 65537), 0);
  assert.equal(slotOf(0xffffffffn, 65537), 65536);
  assert.equal(slotOf(0x80000000n, 7), 3);
});
