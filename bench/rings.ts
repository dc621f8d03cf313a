// `bench rings`: what it costs to hand packets from one worker to another, in batches of 64.
//
//   push, take, push-and-take   the ring's two ends, by one thread: what the instructions cost
//   cross-64, cross-1           one thread at each end: the lines of the ring go from core to core; packets are shown 64 at a
//                               time, and one by one. Taken they are up to 64 at a time.
//   hand-off                    the data plane: a packet that comes to the wrong worker, beyond one that comes to the right one,
//                               which includes parsing it twice

import { once } from "node:events";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import * as L from "../assembly/layout.ts";
import { entryFile } from "../src/entry.ts";
import { takeTurns, timed } from "./interleave.ts";
import { type MicroResult, microCase } from "./micro.ts";
import { loadBenchModule } from "./module.ts";
import type { End, EndTask } from "./rings/end.ts";
import { HandoffBed } from "./rings/handoff.ts";
import type { SuiteOptions } from "./suite.ts";
import { ThreadBed } from "./threads/bed.ts";

/** Packets of a slice, and slices that are timed one by one. */
const SLICE = 1 << 16;
const SLICES = 100;
const QUICK_SLICES = 20;
const REPETITIONS = 10;
const TARGET_NS = 3;

/** @throws GuidewayError BENCH when a packet goes another way than it should */
export async function benchRings(options: SuiteOptions): Promise<MicroResult> {
  const bed = new ThreadBed({ workers: 2 });
  // The one by which the second worker hands over, which it never does here.
  const { ring } = bed.engine.wiring.handoffs[1]!;
  const block = ring.producer - L.MEMORY_RING_PRODUCER;
  const module = loadBenchModule(bed.engine.arena);
  const { BATCH } = L;
  const push = () => module.produce(block, L.HANDOFF_ENTRIES, BATCH);
  const take = () => module.consume(block, L.HANDOFF_ENTRIES, BATCH);
  const half = (counted: () => void, other: () => void, first: boolean) => () => {
    if (!first) other();
    const ns = timed(counted) / L.HANDOFF_ENTRIES;
    if (first) other();
    return ns;
  };
  const both = () => {
    for (let left = SLICE; left > 0; left -= BATCH) {
      module.produce(block, BATCH, BATCH);
      module.consume(block, BATCH, BATCH);
    }
  };
  const handoff = new HandoffBed(bed);
  const alone = takeTurns(
    [
      { name: "push", round: half(push, take, true) },
      { name: "take", round: half(take, push, false) },
      { name: "push-and-take", round: () => timed(both) / SLICE },
      { name: "hand-off", round: () => handoff.round() },
    ],
    options,
  );
  // With one processor the two ends would wait for each other's time slices.
  if (availableParallelism() < 2) return alone;
  return { cases: [...alone.cases, ...(await crossings(bed, block, options))] };
}

async function crossings(
  bed: ThreadBed,
  ring: number,
  { quick, say }: SuiteOptions,
): Promise<MicroResult["cases"]> {
  const cases = [
    { name: "cross-64", shown: L.BATCH, samples: [] as number[], targetNs: TARGET_NS },
    { name: "cross-1", shown: 1, samples: [] as number[] },
  ];
  const repetitions = quick ? 1 : REPETITIONS;
  for (let repetition = 1; repetition <= repetitions; repetition++) {
    say(`crossing, ${repetition} of ${repetitions}`);
    for (const { shown, samples } of cases)
      samples.push(...(await cross(bed.engine.arena.memory, ring, quick ? QUICK_SLICES : SLICES, shown)));
  }
  return cases.map(({ name, samples, targetNs }) => microCase(name, samples, targetNs));
}

/** @param shown packets at a time. @returns nanoseconds per packet of each slice, as the taking end saw it */
async function cross(
  memory: WebAssembly.Memory,
  ring: number,
  slices: number,
  shown: number,
): Promise<number[]> {
  const begin = (end: End) => {
    const batch = end === "producer" ? shown : L.BATCH;
    const task: EndTask = { end, memory, ring, slices, packets: SLICE, batch };
    return new Worker(entryFile(import.meta.url, "./rings/end"), { workerData: task });
  };
  const threads = (["producer", "consumer"] as const).map(begin);
  const answers = await Promise.all(threads.map((thread) => once(thread, "message")));
  await Promise.all(threads.map((thread) => thread.terminate()));
  const taken: number[] = answers[1]![0];
  // In the first slices the other thread starts, and V8 compiles.
  return taken.slice(Math.ceil(slices / 4));
}
