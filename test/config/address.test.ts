import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  addressBytes,
  addressFamily,
  canonicalAddress,
  endpoint,
  notUnicast,
} from "../../src/config/address.ts";

suite("addresses", () => {
  for (const [text, canonical] of [
    ["10.0.0.1", "10.0.0.1"],
    ["FD00:0:0:0::0001", "fd00::1"],
    // RFC 5952 §4.2.2 and §4.2.3: no compression of a single group, the first of the longest runs.
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["0:0:0:0:0:0:0:0", "::"],
    ["10.0.0.01", undefined],
    ["10.0.0", undefined],
    ["0x0a000001", undefined],
    ["167772161", undefined],
    ["10.0.0.256", undefined],
    [" 10.0.0.1", undefined],
    ["fe80::1%eth0", undefined],
    ["[fd00::1]", undefined],
    ["fd00::1/64", undefined],
    [":::", undefined],
    ["", undefined],
  ] as const)
    test(`${JSON.stringify(text)} is ${canonical ?? "no address"}`, () => {
      assert.equal(canonicalAddress(text), canonical);
    });

  test("bytes are in network order", () => {
    assert.deepEqual([...addressBytes("10.99.0.1")], [10, 99, 0, 1]);
    assert.deepEqual(
      [...addressBytes("2001:db8::ff")],
      [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff],
    );
  });

  test("families and endpoints", () => {
    assert.equal(addressFamily("10.0.0.1"), 4);
    assert.equal(addressFamily("::1"), 6);
    assert.equal(endpoint("10.0.0.1", 80), "10.0.0.1:80");
    assert.equal(endpoint("fd00::1", 80), "[fd00::1]:80");
    assert.equal(endpoint("fd00::1"), "fd00::1");
  });

  test("the borders of unicast", () => {
    for (const address of [
      "1.0.0.0",
      "126.255.255.255",
      "128.0.0.1",
      "223.255.255.255",
      "240.0.0.1",
      "255.255.255.254",
      "::2",
      "fe80::1",
      "feff::1",
    ])
      assert.equal(notUnicast(address), undefined, address);
    for (const address of [
      "0.0.0.0",
      "0.255.255.255",
      "127.0.0.0",
      "127.255.255.255",
      "224.0.0.0",
      "239.255.255.255",
      "255.255.255.255",
      "::",
      "::1",
      "ff00::",
      "::ffff:a00:1",
    ])
      assert.notEqual(notUnicast(address), undefined, address);
  });
});
