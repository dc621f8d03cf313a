// What `tune` measures: numbers of workers, batch sizes, and whether threads are pinned, each with each.

import type { Setting } from "../measure/rig.ts";

export interface Grid {
  workers: readonly number[];
  batch: readonly number[];
  /** Whether workers are pinned to processors. */
  pinned: readonly boolean[];
}

/** A setting as it is written into a configuration. */
export interface Choice {
  workers: number;
  batch: number;
  pinned: boolean;
}

/** Batches that are measured unless others are asked for: powers of two from where the loop's own cost shows. */
export const BATCHES = [8, 16, 32, 64] as const;
/** Every number of workers up to here, above it every fourth. */
const EACH_UP_TO = 8;
const STEP = 4;

/** Numbers of workers to measure where there are so many processors. */
export function workerCounts(most: number): number[] {
  const all = Array.from({ length: most }, (_, i) => i + 1);
  return all.filter((count) => count <= EACH_UP_TO || count % STEP === 0 || count === most);
}

/** From the smallest: fewer workers first, then smaller batches, then free threads before pinned ones. */
export function choicesOf({ workers, batch, pinned }: Grid): Choice[] {
  const up = (a: number, b: number) => a - b;
  return [...new Set(workers)].sort(up).flatMap((count) =>
    [...new Set(batch)].sort(up).flatMap((size) =>
      [...new Set(pinned)]
        .sort((a, b) => Number(a) - Number(b))
        .map((each) => ({
          workers: count,
          batch: size,
          pinned: each,
        })),
    ),
  );
}

/** @param cpus to pin to, in order */
export function settingOf({ workers, batch, pinned }: Choice, cpus: readonly number[]): Setting {
  return { workers, batch, ...(pinned && { cpus }) };
}

/** `2 workers, batches of 32, pinned`. */
export function choiceText({ workers, batch, pinned }: Choice): string {
  return `${workers} ${workers === 1 ? "worker" : "workers"}, batches of ${batch}${pinned ? ", pinned" : ""}`;
}
