// What iproute2 says of commands that fail among others.

import assert from "node:assert/strict";
import { test } from "node:test";
import { batchErrors } from "../../src/control/iproute.ts";

test("errors of a batch belong to their lines", () => {
  const stderr = `RTNETLINK answers: Invalid argument
Command failed -:2
Error: ipv4: FIB table does not exist.
Flush terminated
Command failed -:3
Command failed -:11
`;
  assert.deepEqual(
    [...batchErrors(stderr)],
    [
      [1, "RTNETLINK answers: Invalid argument"],
      [2, "Error: ipv4: FIB table does not exist.; Flush terminated"],
      [10, "no reason given"],
    ],
  );
  assert.deepEqual([...batchErrors("")], []);
});
