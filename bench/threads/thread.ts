// A worker's thread in a benchmark: it runs the data plane as src/dataplane/worker.ts does, and between its runs it plays the
// kernel on its own rings. Nobody else has to feed it.
//
//   state     enters when                        leaves when
//   waiting   started, a turn is over            the bed tells it to take a turn
//   ready     told                               all threads of the bed are ready
//   running   all are ready                      the turn's time is up
//
// A waiting one is parked, as far as what is published is concerned.

import { parentPort, workerData } from "node:worker_threads";
import { instantiate, loadModule, noSockets } from "../../src/dataplane/binary.ts";
import { loadNative } from "../../src/native.ts";
import { median } from "../../src/quantiles.ts";
import { loadBenchModule } from "../module.ts";
import { profiled } from "../profile/profiler.ts";
import type { KernelSide } from "./bed.ts";

export interface ThreadTask {
  /** Of a profile. */
  name: string;
  worker: number;
  memory: WebAssembly.Memory;
  side: KernelSide;
  packets: { at: number; mask: number };
  /** Processor to pin to. */
  cpu?: number;
  /** One word, counting the threads that became ready; `threads` more in every turn. */
  ready: Int32Array;
  threads: number;
}

/** What a turn came to. */
export interface ThreadTurn {
  packets: number;
  ms: number;
  /** Of that, in the data plane. */
  runMs: number;
  /** Of the data plane alone: the median of its rounds. */
  nsPerPacket: number;
}

/** Packets of a round: as many as the RX ring has room for. */
const ROUND = 2048;
/** Packets of a round that is timed by itself: frames go from queue to queue, so that there may be fewer than a whole one's. */
const WORTHY = ROUND / 4;
/** Batches of one call, as in src/dataplane/worker.ts. */
const PASSES = 16;

const task = workerData as ThreadTask;
const { name, worker, memory, side, packets, cpu, ready, threads } = task;
if (cpu !== undefined) loadNative().pinThread(cpu);
const dataplane = instantiate(loadModule("#dataplane.wasm"), memory, noSockets);
dataplane.attach(worker);
dataplane.park();
const kernel = loadBenchModule({ memory }, worker);
let next = 0;
let clockMs = 16;
let turns = 0;

function turn(millis: number): ThreadTurn {
  meet();
  const result: ThreadTurn = { packets: 0, ms: 0, runMs: 0, nsPerPacket: 0 };
  const rounds: number[] = [];
  const from = performance.now();
  for (let now = from; now - from < millis; ) {
    const fed = kernel.feed(side.fill, side.rx, ROUND, packets.at, next, packets.mask);
    next = (next + fed) & packets.mask;
    const before = performance.now();
    for (let left = fed; left > 0; ) left -= dataplane.run(clockMs, PASSES);
    // All frames may be in others' rings for a moment; then this brings some back.
    if (fed === 0) dataplane.run(clockMs, PASSES);
    const after = performance.now();
    result.packets += kernel.collect(side.tx, side.completion);
    now = performance.now();
    if (fed >= WORTHY) rounds.push(((after - before) * 1e6) / fed);
    result.runMs += after - before;
    clockMs += after - before;
  }
  result.ms = performance.now() - from;
  dataplane.run(clockMs, PASSES);
  dataplane.park();
  const { runMs, packets: sent } = result;
  result.nsPerPacket = rounds.length > 0 ? median(rounds) : (runMs * 1e6) / Math.max(1, sent);
  return result;
}

/** Waits until all threads are ready. */
function meet(): void {
  const all = ++turns * threads;
  Atomics.add(ready, 0, 1);
  Atomics.notify(ready, 0);
  for (let count = Atomics.load(ready, 0); count < all; count = Atomics.load(ready, 0))
    Atomics.wait(ready, 0, count);
}

parentPort!.on("message", (millis: number) => {
  parentPort!.postMessage(profiled(name, () => turn(millis)));
});
