// The threads of a bed: they start, take turns of some milliseconds when they are told, and end.

import { Worker } from "node:worker_threads";
import { entryFile } from "../../src/entry.ts";
import { GuidewayError } from "../../src/errors.ts";
import { allowedCpus } from "../../src/measure/cpus.ts";
import { loadNative } from "../../src/native.ts";
import type { ThreadBed } from "./bed.ts";
import type { ThreadTask, ThreadTurn } from "./thread.ts";

/** Of a turn, all threads together. */
export interface TeamTurn {
  packets: number;
  /** Packets per microsecond that a thread spends in the data plane, whatever else happens meanwhile; of all threads. */
  mpps: number;
  /** The same by the time on the wall: feeding included. */
  wallMpps: number;
  /** Of the data plane alone: mean of the threads' medians. */
  nsPerPacket: number;
}

export class Team {
  readonly #bed: ThreadBed;
  readonly #threads: Worker[];

  /**
   * @param name of the profiles, which the number of the worker follows
   * @param spare processors that are left to others, if there are enough
   */
  constructor(name: string, bed: ThreadBed, spare = 0) {
    this.#bed = bed;
    const { memory } = bed.engine.arena;
    const ready = new Int32Array(new SharedArrayBuffer(4));
    const cpus = pinnable().slice(spare);
    this.#threads = Array.from({ length: bed.workers }, (_, worker) => {
      const task: ThreadTask = {
        name: `${name}-worker${worker}`,
        worker,
        memory,
        side: bed.side(worker),
        packets: bed.packets(worker),
        ...(cpus.length >= bed.workers && { cpu: cpus[worker]! }),
        ready,
        threads: bed.workers,
      };
      return new Worker(entryFile(import.meta.url, "./thread"), { workerData: task });
    });
  }

  /**
   * Lets all of them run at once. `meanwhile` runs when they have been told.
   * @throws GuidewayError BENCH when one fails
   */
  async turn(millis: number, meanwhile?: () => void): Promise<TeamTurn> {
    const turns = this.#threads.map((thread) => answer(thread));
    for (const thread of this.#threads) thread.postMessage(millis);
    meanwhile?.();
    const done = await Promise.all(turns);
    const sum = (of: (turn: ThreadTurn) => number) => done.reduce((total, turn) => total + of(turn), 0);
    return {
      packets: sum(({ packets }) => packets),
      mpps: sum(({ packets, runMs }) => packets / runMs / 1000),
      wallMpps: sum(({ packets, ms }) => packets / ms / 1000),
      nsPerPacket: sum(({ nsPerPacket }) => nsPerPacket) / done.length,
    };
  }

  /** @throws GuidewayError BENCH when not all but `others` of the packets had a reason */
  check(reason: string, others: number): void {
    const reasons = this.#bed.engine.statistics.reasons();
    const packets = Object.values(reasons).reduce((sum, count) => sum + count, 0);
    if ((reasons[reason] ?? 0) >= packets * (1 - others)) return;
    throw new GuidewayError(
      "BENCH",
      `of ${packets} packets ${reasons[reason] ?? 0} were "${reason}", expected all but ${others}: ${JSON.stringify(reasons)}`,
    );
  }

  async end(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }
}

function answer(thread: Worker): Promise<ThreadTurn> {
  return new Promise((resolve, reject) => {
    const done = () => {
      thread.off("message", resolved);
      thread.off("error", failed);
    };
    const resolved = (turn: ThreadTurn) => {
      done();
      resolve(turn);
    };
    const failed = (error: Error) => {
      done();
      reject(error);
    };
    thread.on("message", resolved);
    thread.on("error", failed);
  });
}

/** Processors that threads may be pinned to: none without the addon. */
function pinnable(): number[] {
  try {
    loadNative();
    return allowedCpus();
  } catch {
    return [];
  }
}
