// A thread at one end of a ring: it puts packets in or takes them out, slice after slice, and says how long each took.

import { parentPort, workerData } from "node:worker_threads";
import { timed } from "../interleave.ts";
import { loadBenchModule } from "../module.ts";
import { profiled } from "../profile/profiler.ts";

export type End = "producer" | "consumer";

export interface EndTask {
  end: End;
  memory: WebAssembly.Memory;
  /** Address of the ring's block. */
  ring: number;
  slices: number;
  /** Of a slice. */
  packets: number;
  batch: number;
}

const { end, memory, ring, slices, packets, batch } = workerData as EndTask;
const { produce, consume } = loadBenchModule({ memory });
const work = end === "producer" ? produce : consume;
const taken = profiled(end, () =>
  Array.from({ length: slices }, () => timed(() => work(ring, packets, batch)) / packets),
);
parentPort!.postMessage(taken);
