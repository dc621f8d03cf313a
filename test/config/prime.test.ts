import assert from "node:assert/strict";
import { test } from "node:test";
import { isPrime, nextPrime } from "../../src/config/prime.ts";

test("the primes below 50", () => {
  const primes = Array.from({ length: 50 }, (_, n) => n).filter(isPrime);
  assert.deepEqual(primes, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47]);
});

test("table sizes of the paper, and a square of a prime", () => {
  assert.ok(isPrime(65537));
  assert.ok(isPrime(655373));
  assert.ok(!isPrime(4093 * 4093));
});

test("the next prime is the number itself when that is one", () => {
  assert.deepEqual([0, 2, 8, 65536, 65537, 65538].map(nextPrime), [2, 2, 11, 65537, 65537, 65539]);
});

test("the greatest table size is the greatest prime below 2²⁴", () => {
  assert.ok(isPrime(16_777_213));
  assert.equal(nextPrime(16_777_214), 16_777_259);
});
