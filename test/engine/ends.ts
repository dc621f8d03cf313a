// How a worker's thread may end by itself, and where it is told to (breakable-worker.ts).

export const ENDS = ["exit", "throw", "memory", "loop"] as const;
export type End = (typeof ENDS)[number];

/** Index of the word that holds the order for a worker: an index into ENDS, plus 1. */
export function orderWord(worker: number): number {
  return 256 + worker;
}
