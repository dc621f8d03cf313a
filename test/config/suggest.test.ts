import assert from "node:assert/strict";
import { test } from "node:test";
import { expectation, nearest, oneOf } from "../../src/config/suggest.ts";

test("a near miss is recognised, whatever its case", () => {
  assert.equal(nearest("bakcends", ["algorithm", "tableSize", "backends"]), "backends");
  assert.equal(nearest("tablesize", ["algorithm", "tableSize", "backends"]), "tableSize");
  assert.equal(nearest("wbe", ["web", "api"]), "web");
});

test("a word that is like none has no suggestion", () => {
  assert.equal(nearest("busyPoll", ["count", "cpus", "batch"]), undefined);
  assert.equal(nearest("l7", ["gre"]), undefined);
  assert.equal(nearest("x", []), undefined);
});

test("what was expected instead", () => {
  assert.equal(expectation("adress", ["address", "mac"]), 'did you mean "address"?');
  assert.equal(expectation("zzzzzz", ["address", "mac", "port"]), "expected address, mac or port");
  assert.equal(
    oneOf(Array.from({ length: 25 }, (_, index) => `p${index}`)).endsWith("p19 or one of 5 more"),
    true,
  );
});
