// Prefix maps as the data plane reads them, against one that compares all bits.

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { NO_PREFIX } from "../../assembly/layout.ts";
import { canonicalPrefix, parsePrefix } from "../../src/config/prefix.ts";
import { instantiate, loadModule, noSockets } from "../../src/dataplane/binary.ts";
import { prefixMap, prefixMapBytes } from "../../src/dataplane/prefix-map.ts";
import { addressBytes } from "../model/bytes.ts";
import { PrefixMap } from "../model/prefix-map.ts";
import { runs } from "../runs.ts";

const AT = 4096;
const memory = new WebAssembly.Memory({ initial: 40, maximum: 40, shared: true });
const { findPrefix, slotHash } = instantiate(loadModule("#dataplane.wasm"), memory, noSockets);

/** Puts a map into the memory. */
function publish(entries: Iterable<readonly [string, number]>): void {
  const list = [...entries].map(([text, value]) => ({ prefix: parsePrefix(text), value }));
  const bytes = prefixMap(list, slotHash);
  assert.equal(bytes.length, prefixMapBytes(list.length));
  new Uint8Array(memory.buffer).set(bytes, AT);
}

/** @returns undefined when there is none */
function find(address: Uint8Array): number | undefined {
  const padded = new Uint8Array(16);
  padded.set(address);
  const words = new DataView(padded.buffer);
  const family = address.length === 4 ? 4 : 6;
  const value = findPrefix(AT, family, words.getBigUint64(0, true), words.getBigUint64(8, true)) >>> 0;
  return value === NO_PREFIX ? undefined : value;
}

/** Addresses of few different bits, so that prefixes contain each other and addresses hit them. */
const v4 = fc.uint8Array({ minLength: 4, maxLength: 4, max: 3 });
const v6 = fc.uint8Array({ minLength: 16, maxLength: 16, max: 1 });
const text = (address: Uint8Array) =>
  address.length === 4
    ? address.join(".")
    : Array.from({ length: 8 }, (_, i) => (address[2 * i]! * 256 + address[2 * i + 1]!).toString(16)).join(
        ":",
      );
const prefix = fc.oneof(
  fc.tuple(v4, fc.integer({ min: 0, max: 32 })),
  fc.tuple(v6, fc.integer({ min: 0, max: 128 })),
);

suite("prefix map", () => {
  test("finds the longest prefix, as the model does", () => {
    let found = 0;
    fc.assert(
      fc.property(
        fc.array(prefix, { maxLength: 60 }),
        fc.array(fc.oneof(v4, v6), { minLength: 40, maxLength: 40 }),
        (prefixes, addresses) => {
          const entries = new Map(
            prefixes.map(([address, length], i) => [canonicalPrefix(`${text(address)}/${length}`)!, i]),
          );
          publish(entries);
          const model = new PrefixMap(entries);
          // The first and the next address of each prefix lie at its edge.
          for (const address of [...addresses, ...prefixes.map(([first]) => first)]) {
            const value = find(address);
            if (value !== undefined) found++;
            assert.equal(value, model.find(address), text(address));
          }
        },
      ),
      { numRuns: 200, seed: runs.seed },
    );
    assert.ok(found > 1000, `${found} addresses were in a prefix`);
  });

  test("every length of both families, all of them containing one address", () => {
    const all: [string, number][] = [];
    for (let length = 0; length <= 32; length++)
      all.push([canonicalPrefix(`203.0.113.255/${length}`)!, length]);
    for (let length = 0; length <= 128; length++)
      all.push([canonicalPrefix(`2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/${length}`)!, 1000 + length]);
    publish(all);
    for (let length = 0; length <= 32; length++) {
      // The bit behind the prefix is another one, so that no longer prefix contains the address.
      const address = addressBytes("203.0.113.255");
      if (length < 32) address[length >> 3]! ^= 0x80 >> (length & 7);
      assert.equal(find(address), length, text(address));
    }
    for (let length = 0; length <= 128; length++) {
      const address = addressBytes("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
      if (length < 128) address[length >> 3]! ^= 0x80 >> (length & 7);
      assert.equal(find(address), 1000 + length, text(address));
    }
  });

  test("families are apart: no IPv6 address is in an IPv4 prefix of the same bits", () => {
    publish([["10.0.0.0/8", 1]]);
    assert.equal(find(addressBytes("a00::1")), undefined);
    publish([["a00::/8", 2]]);
    assert.equal(find(addressBytes("10.0.0.1")), undefined);
  });

  test("an empty map contains nothing", () => {
    publish([]);
    assert.equal(find(addressBytes("10.0.0.1")), undefined);
    assert.equal(find(addressBytes("fd00::1")), undefined);
  });

  test("the value is any 32 bits but one", () => {
    publish([
      ["0.0.0.0/0", 0xfffffffe],
      ["::/0", 0],
    ]);
    assert.equal(find(addressBytes("10.0.0.1")), 0xfffffffe);
    assert.equal(find(addressBytes("fd00::1")), 0);
  });

  test("tens of thousands of prefixes", () => {
    const entries = Array.from({ length: 20_000 }, (_, i) => [`10.${i >> 8}.${i & 255}.0/24`, i] as const);
    publish(entries);
    for (let i = 0; i < entries.length; i += 7) assert.equal(find(Uint8Array.of(10, i >> 8, i & 255, 9)), i);
    assert.equal(find(addressBytes("10.200.0.1")), undefined);
  });
});
