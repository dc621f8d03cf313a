import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { canonicalPrefix, containsPrefix, hasHostBits, parsePrefix } from "../../src/config/prefix.ts";
import { prefix } from "../../src/config/values.ts";

suite("prefixes", () => {
  for (const [text, canonical] of [
    ["10.99.0.0/24", "10.99.0.0/24"],
    ["10.99.0.7/24", "10.99.0.0/24"],
    ["10.99.0.7/32", "10.99.0.7"],
    ["10.99.0.7", "10.99.0.7"],
    ["10.99.255.255/23", "10.99.254.0/23"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["255.255.255.255/0", "0.0.0.0/0"],
    ["FD99:0::1/64", "fd99::/64"],
    ["fd99::ffff/127", "fd99::fffe/127"],
    ["fd99::1/128", "fd99::1"],
    ["::/0", "::/0"],
  ] as const)
    test(`${text} is ${canonical}`, () => assert.equal(canonicalPrefix(text), canonical));

  for (const text of [
    "10.99.0.0/33",
    "10.99.0.0/-1",
    "10.99.0.0/",
    "10.99.0.0/08",
    "10.99.0.0/24/24",
    "10.99.0/24",
    "fd99::/129",
    "fd99::%eth0/64",
    "/24",
    "",
    "10.99.0.0/1e1",
  ])
    test(`${JSON.stringify(text)} is none`, () => assert.equal(canonicalPrefix(text), undefined));

  test("bits beyond the length are noticed", () => {
    assert.equal(hasHostBits("10.99.0.1/24"), true);
    assert.equal(hasHostBits("10.99.0.0/24"), false);
    assert.equal(hasHostBits("10.99.0.1"), false);
    assert.equal(hasHostBits("fd99::1/127"), true);
    assert.equal(hasHostBits("x"), false);
  });

  test("as a value of the configuration", () => {
    const message = (value: unknown) => prefix().safeParse(value).error?.issues[0]?.message;
    const expected = "expected an IPv4 or IPv6 prefix such as 192.0.2.0/24, or an address";
    assert.equal(prefix().parse("FD99::/64"), "fd99::/64");
    assert.equal(message("10.0.0"), `"10.0.0" is not a prefix, ${expected}`);
    assert.equal(message(10), `10 is not a prefix, ${expected}`);
    assert.equal(
      message("10.0.0.1/24"),
      `"10.0.0.1/24" has bits beyond its length (did you mean "10.0.0.0/24"?), ${expected}`,
    );
  });

  test("parsed: family, masked bytes, length", () => {
    assert.deepEqual(parsePrefix("10.99.0.0/15"), {
      family: 4,
      bytes: Uint8Array.of(10, 98, 0, 0),
      length: 15,
    });
    assert.deepEqual(parsePrefix("fd99::/64").bytes.slice(0, 2), Uint8Array.of(0xfd, 0x99));
  });

  test("a prefix contains those of its addresses, itself among them, and no other family", () => {
    const contains = (outer: string, inner: string) => containsPrefix(parsePrefix(outer), parsePrefix(inner));
    assert.equal(contains("10.0.0.0/8", "10.99.0.0/24"), true);
    assert.equal(contains("10.0.0.0/8", "10.0.0.0/8"), true);
    assert.equal(contains("10.99.0.0/24", "10.0.0.0/8"), false);
    assert.equal(contains("10.99.0.0/24", "10.99.1.0"), false);
    assert.equal(contains("0.0.0.0/0", "fd99::1"), false);
  });
});
