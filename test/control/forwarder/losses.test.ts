// What the kernel has lost is a warning, and a reason to stop only when it is most of it and lasts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Losses } from "../../../src/control/forwarder/losses.ts";

class Kernel {
  received = 0;
  readonly statistics = {
    rxDropped: 0,
    rxInvalidDescriptors: 0,
    txInvalidDescriptors: 0,
    rxRingFull: 0,
    rxFillRingEmpty: 0,
    txRingEmpty: 0,
  };
  readonly losses: Losses;
  nowMs = 0;

  constructor() {
    this.statistics.rxDropped = 5000;
    const kernel = () => [{ name: "eth0", statistics: { ...this.statistics } }];
    this.losses = new Losses({ kernel, received: () => this.received }, 0);
  }

  /** A second in which so many packets were received and lost. */
  second(received: number, lost: number): Losses {
    this.received += received;
    this.statistics.rxRingFull += lost;
    this.nowMs += 1000;
    this.losses.look(this.nowMs);
    return this.losses;
  }
}

test("what was lost before the start does not count", () => {
  assert.deepEqual(new Kernel().second(0, 0).degraded, []);
});

test("few losses are nothing, in number or as a share", () => {
  assert.deepEqual(new Kernel().second(0, 99).degraded, []);
  assert.deepEqual(new Kernel().second(1_000_000, 9000).degraded, []);
});

test("a second with losses is a warning, which the next one ends", () => {
  const kernel = new Kernel();
  assert.deepEqual(kernel.second(9900, 100).degraded, [
    "eth0: 100 packets found an RX ring full, in 1000 ms",
  ]);
  kernel.losses.look(kernel.nowMs + 500);
  assert.equal(kernel.losses.degraded.length, 1, "it looks once a second");
  assert.deepEqual(kernel.second(9900, 0).degraded, []);
});

test("a FILL ring that was empty says why, and is no loss by itself", () => {
  const kernel = new Kernel();
  kernel.statistics.rxFillRingEmpty += 1000;
  assert.deepEqual(kernel.second(100, 0).degraded, []);
  kernel.statistics.rxFillRingEmpty += 1000;
  assert.equal(kernel.second(100, 200).degraded.length, 2);
});

test("when half of the packets are lost for ten seconds it has failed, and recovers with the first better one", () => {
  const kernel = new Kernel();
  for (let i = 0; i < 9; i++) assert.equal(kernel.second(1000, 1000).failed, undefined);
  assert.equal(kernel.second(1000, 3000).failed, "the kernel has lost 75% of all packets for 10 s");
  assert.equal(kernel.second(1000, 900).failed, undefined);
  for (let i = 0; i < 9; i++) assert.equal(kernel.second(1000, 1000).failed, undefined);
});
