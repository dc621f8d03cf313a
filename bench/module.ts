// What the benchmarks have compiled (bench/assembly), bound to an arena.

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Arena } from "../src/dataplane/arena.ts";
import { GuidewayError } from "../src/errors.ts";

/** Exports of bench/assembly/bench.ts. */
export interface BenchModule {
  attach(worker: number): number;
  writeKeys(at: number, first: number, count: number): void;
  follow(keys: number, count: number): number;
  find(keys: number, count: number): number;
  enter(keys: number, count: number, backend: number): number;
  evict(keys: number, count: number, backend: number): number;
  setTime(ms: number): void;
  sweepOnce(ms: number): number;
  feed(fill: number, rx: number, count: number, packets: number, next: number, mask: number): number;
  collect(tx: number, completion: number): number;
  produce(ring: number, count: number, batch: number): void;
  consume(ring: number, count: number, batch: number): void;
}

/** @throws GuidewayError NOT_BUILT when it is missing, LAYOUT when it was compiled for another arena */
export function loadBenchModule({ memory }: Pick<Arena, "memory">, worker = 0): BenchModule {
  const path = fileURLToPath(import.meta.resolve("#bench.wasm"));
  if (!existsSync(path)) {
    throw new GuidewayError(
      "NOT_BUILT",
      `${path} is missing: run "npm run setup", which compiles it from bench/assembly/`,
    );
  }
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(path)), {
    env: { memory },
  });
  const module = exports as unknown as BenchModule;
  if (module.attach(worker) === 0) {
    throw new GuidewayError(
      "LAYOUT",
      `${path} was compiled for another layout of the arena: run "npm run setup" to compile it again`,
    );
  }
  return module;
}
