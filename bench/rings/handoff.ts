// Two data planes by turns on one thread. Packets that belong to the second come to it directly, or to the first, which hands
// them over.

import { type DataplaneExports, instantiate, loadModule, noSockets } from "../../src/dataplane/binary.ts";
import { GuidewayError } from "../../src/errors.ts";
import { median } from "../../src/quantiles.ts";
import { type BenchModule, loadBenchModule } from "../module.ts";
import type { KernelSide, ThreadBed } from "../threads/bed.ts";

/** Packets of a pass: a hand-off ring has room for more. */
const PACKETS = 512;
/** Times that both ways have their turn in a round. */
const TURNS = 32;
const PASSES = 16;

export class HandoffBed {
  readonly #workers: DataplaneExports[];
  readonly #kernel: BenchModule;
  readonly #sides: KernelSide[];
  readonly #bed: ThreadBed;
  readonly #packets: { at: number; mask: number };
  #next = 0;
  #clockMs = 16;

  constructor(bed: ThreadBed) {
    this.#bed = bed;
    const { memory } = bed.engine.arena;
    this.#workers = [0, 1].map((worker) => {
      const exports = instantiate(loadModule("#dataplane.wasm"), memory, noSockets);
      exports.attach(worker);
      return exports;
    });
    this.#kernel = loadBenchModule(bed.engine.arena);
    this.#sides = [bed.side(0), bed.side(1)];
    this.#packets = bed.packets(1);
  }

  /** @returns nanoseconds per packet that handing it over costs beyond its own work */
  round(): number {
    const before = this.#handed();
    const differences = Array.from({ length: TURNS }, () => {
      const direct = this.#pass(1);
      return this.#pass(0) - direct;
    });
    const count = this.#handed() - before;
    if (count !== TURNS * PACKETS)
      throw new GuidewayError("BENCH", `of ${TURNS * PACKETS} packets ${count} were handed over`);
    return median(differences);
  }

  #handed(): number {
    return this.#bed.engine.statistics.workers()[0]!.handed;
  }

  /** @param to worker that gets the packets of worker 1. @returns nanoseconds per packet that both took together */
  #pass(to: number): number {
    const { at, mask } = this.#packets;
    const { fill, rx } = this.#sides[to]!;
    const fed = this.#kernel.feed(fill, rx, PACKETS, at, this.#next, mask);
    if (fed !== PACKETS) throw new GuidewayError("BENCH", `of ${PACKETS} packets ${fed} found a frame`);
    this.#next += fed;
    const before = performance.now();
    for (const worker of this.#workers.slice(to)) worker.run(this.#clockMs, PASSES);
    const tookMs = performance.now() - before;
    this.#clockMs += tookMs;
    let sent = 0;
    for (const { tx, completion } of this.#sides) sent += this.#kernel.collect(tx, completion);
    if (sent !== PACKETS) throw new GuidewayError("BENCH", `of ${PACKETS} packets ${sent} left`);
    return (tookMs * 1e6) / PACKETS;
  }
}
