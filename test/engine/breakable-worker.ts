// A worker's thread that ends as it is told to: for the tests of what follows. The order is a word of the arena's first page, which
// nothing else uses; it is looked at wherever the worker asks for the time.
import { performance } from "node:perf_hooks";
import work from "../../src/dataplane/worker.ts";
import type { WorkerTask } from "../../src/dataplane/worker-task.ts";
import { ENDS, type End, orderWord } from "./ends.ts";

const ending: Record<End, () => void> = {
  exit: () => process.exit(3),
  throw: () => {
    throw new Error("broken by a test");
  },
  memory: () => {
    for (const kept: unknown[] = []; ; ) kept.push(new Array(1e6).fill(kept.length));
  },
  loop: () => {
    for (;;);
  },
};

export default function breakable(task: WorkerTask): unknown {
  const words = new Uint32Array(task.memory.buffer);
  const at = orderWord(task.worker);
  const now = performance.now.bind(performance);
  performance.now = () => {
    const order = Atomics.exchange(words, at, 0);
    if (order !== 0) ending[ENDS[order - 1]!]();
    return now();
  };
  return work(task);
}
