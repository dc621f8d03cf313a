// The workers as a Piscina pool: one long task each. They stop by the arena's stop word, not by an abort
// signal, which would kill a thread in the middle of a batch.

import { availableParallelism } from "node:os";
import { performance } from "node:perf_hooks";
import { Piscina } from "piscina";
import * as L from "../../assembly/layout.ts";
import { entryFile } from "../entry.ts";
import { GuidewayError } from "../errors.ts";
import { loadNative } from "../native.ts";
import { loadModule } from "./binary.ts";
import type { Engine } from "./engine.ts";
import { MemoryParking, type Parking, SocketParking } from "./parking.ts";
import type { WorkerReport, WorkerTask } from "./worker-task.ts";

export interface PoolOptions {
  /** Descriptors of the sockets of each worker; without it all ports are in memory. */
  sockets?: number[][];
  /** CPUs to pin workers to, in order. */
  cpus?: number[];
  /** How long an idle worker polls before it sleeps, microseconds. */
  spinUs?: number;
}

/** Where every worker has a core of its own, polling a little saves the sleep. */
const SPIN_US = 50;

export class WorkerPool {
  readonly #engine: Engine;
  readonly #piscina: Piscina;
  readonly #tasks: Promise<WorkerReport>[];
  readonly #parking: Parking;
  readonly #events: number[];

  /** Starts a worker for each block of the arena. */
  constructor(engine: Engine, options: PoolOptions = {}) {
    const { workers, arena } = engine;
    this.#engine = engine;
    const native = options.sockets ? loadNative() : undefined;
    this.#events = native ? Array.from({ length: workers }, () => native.createEvent()) : [];
    const blocks = Array.from({ length: workers }, (_, worker) => arena.workerBlock(worker));
    this.#parking = native
      ? new SocketParking(native, 0, [], this.#events)
      : new MemoryParking(arena.memory, 0, blocks);
    this.#piscina = new Piscina({
      filename: entryFile(import.meta.url, "./worker"),
      minThreads: workers,
      maxThreads: workers,
      concurrentTasksPerWorker: 1,
      atomics: "disabled",
      idleTimeout: Number.POSITIVE_INFINITY,
    });
    const epochMs = performance.timeOrigin + performance.now();
    const spinUs = options.spinUs ?? (workers < availableParallelism() ? SPIN_US : 0);
    const module = loadModule("#dataplane.wasm");
    this.#tasks = blocks.map((_, worker) => {
      const cpu = options.cpus?.[worker % options.cpus.length];
      const task: WorkerTask = {
        worker,
        memory: arena.memory,
        module,
        epochMs,
        spinUs,
        ...(cpu !== undefined && { cpu }),
        ...(options.sockets && { native: { sockets: options.sockets[worker]!, events: this.#events } }),
      };
      return this.#piscina.run(task) as Promise<WorkerReport>;
    });
  }

  /** Rejects when a worker fails, or ends before stop(): neither should happen. */
  failure(): Promise<never> {
    const each = async (task: Promise<WorkerReport>): Promise<never> => {
      const { worker } = await task;
      throw new GuidewayError("WORKER", `worker ${worker} ended by itself`);
    };
    return Promise.race(this.#tasks.map(each));
  }

  /** Wakes a worker if it sleeps: after packets were put into its memory ring. */
  wake(worker: number): void {
    const { arena } = this.#engine;
    if (arena.word(arena.workerBlock(worker) + L.WORKER_EPOCH) === L.WORKER_OFFLINE)
      this.#parking.wake(worker);
  }

  /** Lets the workers drain their rings and ends them. */
  async stop(): Promise<WorkerReport[]> {
    this.#engine.arena.setWord(L.HEADER_STOP, 1);
    for (let worker = 0; worker < this.#tasks.length; worker++) this.#parking.wake(worker);
    const reports = await Promise.allSettled(this.#tasks);
    await this.#piscina.destroy();
    if (this.#events.length > 0) this.#events.forEach(loadNative().closeEvent);
    const failed = reports.find((report) => report.status === "rejected");
    if (failed) throw failed.reason;
    return reports.map((report) => (report as PromiseFulfilledResult<WorkerReport>).value);
  }
}
