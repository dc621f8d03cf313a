// `bench nic --quick`, as root: every packet that came back was right, and both forwarders forwarded.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { test } from "node:test";
import type { NicResult } from "../../bench/nic.ts";
import { guideway } from "../commands/guideway.ts";
import { quickBench } from "./bench.ts";

const root = process.geteuid?.() === 0;
const skip = root ? (availableParallelism() < 2 ? "needs two processors" : false) : "needs root";

test("bench nic", { skip }, () => {
  const interfaces = readFileSync("/proc/net/dev", "utf8").split("\n").length;
  const { native, wasm, ratio, cpuNsPerPacket, packets, worker, setup } = quickBench<NicResult>("nic");
  assert.equal(native.length, 1);
  assert.equal(wasm.length, 1);
  assert.ok(Math.abs(ratio - wasm[0]! / native[0]!) < 0.01);
  assert.ok(native[0]! > 0 && wasm[0]! > 0);
  assert.ok(cpuNsPerPacket.native > 0 && cpuNsPerPacket.wasm > 0);
  assert.equal(packets.wrong, 0);
  assert.equal(packets.verified, packets.received);
  assert.ok(packets.received <= packets.sent);
  assert.equal(worker.traps, 0);
  assert.equal(
    Object.values(worker.reasons).reduce((sum, count) => sum + count, 0),
    worker.packets,
  );
  assert.equal(worker.reasons.new, setup.flows);
  assert.equal(
    readFileSync("/proc/net/dev", "utf8").split("\n").length,
    interfaces,
    "an interface was left behind",
  );
});

if (!root) {
  test("bench nic says that it needs root", () => {
    const { status, stderr } = guideway(["bench", "nic"]);
    assert.equal(status, 1);
    assert.match(stderr, /needs root/);
  });
}
