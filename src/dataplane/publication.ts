// Publication by epoch: how a block that workers read is replaced while they read it.
//
//   controller                                   worker, at the start of each batch
//   1 write the new block                        a  load the epoch
//   2 store its address in the cell              b  store it in its own line
//   3 add 1 to the epoch                         c  load cells as it needs them, use the blocks
//   4 free the old block once every worker
//     shows the epoch or is offline
//
// A worker that shows the epoch of step 3 began its batch after step 2, so it cannot have read the old address in
// this batch, and it is done with earlier ones. A parked worker shows "offline" and reads the epoch again before
// any cell. All of these accesses are sequentially consistent.

import { setTimeout as sleep } from "node:timers/promises";
import * as L from "../../assembly/layout.ts";
import type { Arena } from "./arena.ts";
import type { TableHeap } from "./heap.ts";

/**
 * Longest wait for workers to let go of replaced blocks. A batch takes less than a millisecond, but a busy machine may keep a
 * thread from running in the middle of one.
 */
const WAIT_MS = 1000;
const STEP_MS = 1;

interface Retired {
  block: number;
  epoch: number;
}

export class Publication {
  readonly #arena: Arena;
  readonly #heap: TableHeap;
  readonly #pause = new Int32Array(new SharedArrayBuffer(4));
  #retired: Retired[] = [];

  constructor(arena: Arena, heap: TableHeap) {
    this.#arena = arena;
    this.#heap = heap;
  }

  get epoch(): number {
    return this.#arena.word(L.HEADER_EPOCH);
  }

  /** Blocks that were replaced but may still be read. */
  get retired(): number {
    return this.#retired.length;
  }

  /**
   * Address of a block of at least `bytes` in the heap. Where replaced blocks leave no room, it waits until the workers let go
   * of them, as after many changes in a row; the thread stands still meanwhile.
   * @throws GuidewayError TABLE_HEAP when there is no room even then
   */
  allocate(bytes: number): number {
    this.checkRoom(bytes);
    return this.#heap.allocate(bytes);
  }

  /** Waits for room as allocate() does, and takes none. @throws GuidewayError TABLE_HEAP */
  checkRoom(bytes: number): void {
    for (let waitedMs = 0; !this.#heap.hasRoom(bytes) && waitedMs < WAIT_MS; waitedMs += STEP_MS) {
      if (this.reclaim() === 0) break;
      if (!this.#heap.hasRoom(bytes)) Atomics.wait(this.#pause, 0, 0, STEP_MS);
    }
    this.#heap.checkRoom(bytes);
  }

  /** Gives back a block that was never published. */
  discard(block: number): void {
    this.#heap.free(block);
  }

  /** Replaces the block that a cell refers to; the old one is freed when no worker can read it any more. */
  publish(cell: number, block: number): void {
    const old = Atomics.exchange(this.#arena.u32, cell / 4, block);
    const epoch = this.#advance();
    if (old !== 0) this.#retired.push({ block: old, epoch });
    this.reclaim();
  }

  #advance(): number {
    // Skips the value that means "offline".
    const next = (this.epoch + 1) % L.WORKER_OFFLINE;
    this.#arena.setWord(L.HEADER_EPOCH, next);
    return next;
  }

  /** Whether every worker has begun a batch since an epoch. */
  passed(epoch: number): boolean {
    for (let worker = 0; worker < this.#arena.plan.shape.workers; worker++) {
      const seen = this.#arena.word(this.#arena.workerBlock(worker) + L.WORKER_EPOCH);
      // Epochs wrap: what was seen is at or after the epoch when the distance is less than half of the circle.
      if (
        seen !== L.WORKER_OFFLINE &&
        (seen - epoch + L.WORKER_OFFLINE) % L.WORKER_OFFLINE > L.WORKER_OFFLINE / 2
      )
        return false;
    }
    return true;
  }

  /** Resolves when every worker uses what is published now, and nothing older. Gives up after a second: a worker is stuck. */
  async settled(): Promise<void> {
    const { epoch } = this;
    for (let waitedMs = 0; waitedMs < WAIT_MS && !this.passed(epoch); waitedMs += STEP_MS)
      await sleep(STEP_MS);
    this.reclaim();
  }

  /** Frees what can be freed. @returns blocks that still wait */
  reclaim(): number {
    this.#retired = this.#retired.filter(({ block, epoch }) => {
      if (!this.passed(epoch)) return true;
      this.#heap.free(block);
      return false;
    });
    return this.#retired.length;
  }
}
