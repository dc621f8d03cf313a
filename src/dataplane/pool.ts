// The workers as a Piscina pool: one long task each.
//
//   worker     enters when                              leaves when
//   starting   the pool or grow() wants it; its thread  it says that it has started; its thread ends
//              has ended by itself
//   running    started                                  its thread ends by itself, or its loop stands still for STUCK_MS
//   stopping   stop() or shrink()                       its thread has drained its rings
//
// They stop by words of the arena, not by an abort signal, which would kill a thread in the middle of a batch. One that has died
// is replaced at once, by a thread that waits for it: everything that it knew is in the arena, and the next one ends what it had
// begun (assembly/ports.ts). No two threads ever work for the same worker: the next one starts when the other's exit was seen.

import { availableParallelism } from "node:os";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { MessageChannel } from "node:worker_threads";
import { Piscina } from "piscina";
import * as L from "../../assembly/layout.ts";
import { entryFile } from "../entry.ts";
import { GuidewayError } from "../errors.ts";
import { loadNative } from "../native.ts";
import { loadModule } from "./binary.ts";
import type { Engine } from "./engine.ts";
import { packetsInHand } from "./in-hand.ts";
import { MemoryParking, type Parking, SocketParking } from "./parking.ts";
import type { WorkerNotice, WorkerReport, WorkerTask } from "./worker-task.ts";

export interface PoolOptions {
  /** Descriptors of the sockets of each worker; without it all ports are in memory. */
  sockets?: number[][];
  /** Whether workers receive in their own threads, and never sleep: for sockets that were opened so. */
  busyPoll?: boolean;
  /** CPUs to pin workers to, in order. */
  cpus?: number[];
  /** How long an idle worker polls before it sleeps, microseconds. */
  spinUs?: number;
  /** File of the threads. */
  file?: string;
  /** Called when a worker trapped, or its thread has died and is being replaced. */
  onMishap?: (mishap: Mishap) => void;
}

export interface Mishap {
  worker: number;
  kind: "trapped" | "died" | "stuck";
  /** A stack, or why the thread has ended. */
  cause: string;
  /** What was in the worker's hands. */
  packets: Uint8Array[];
  /** From the death until the next thread took over, milliseconds; undefined when nobody was replaced. */
  replacedInMs?: number;
}

interface Running {
  task: Promise<WorkerReport>;
  thread: number | undefined;
  stopping: boolean;
  heartbeat: number;
  /** Looks at a heartbeat that has not moved. */
  still: number;
}

/** Where every worker has a core of its own, polling a little saves the sleep. */
const SPIN_US = 50;
/** How often heartbeats are looked at, and how often one may be the same: a parked worker makes ten passes a second. */
const WATCH_MS = 250;
const STUCK_LOOKS = 4;
/** More while a thread starts. */
const START_LOOKS = 40;
/** Threads that die one after the other without a single pass: another one would, too. */
const MOST_FAILED_STARTS = 5;
/** A worker's loop allocates next to nothing. */
const MAX_HEAP_MIB = 128;
/** How long a thread may take until it has started. */
const START_MS = 10_000;

export class WorkerPool {
  readonly #engine: Engine;
  readonly #options: PoolOptions;
  readonly #piscina: Piscina;
  readonly #running: Running[] = [];
  readonly #parking: Parking;
  readonly #events: number[];
  readonly #module = loadModule("#dataplane.wasm");
  readonly #failure = Promise.withResolvers<never>();
  readonly #watch: NodeJS.Timeout;
  #stopped = false;
  #restarts = 0;

  /** Starts the workers that own shards. */
  constructor(engine: Engine, options: PoolOptions = {}) {
    const { workers, arena, owners } = engine;
    this.#engine = engine;
    this.#options = options;
    const native = options.sockets ? loadNative() : undefined;
    this.#events = native ? Array.from({ length: workers }, () => native.createEvent()) : [];
    const blocks = Array.from({ length: workers }, (_, worker) => arena.workerBlock(worker));
    this.#parking = native
      ? new SocketParking(native, 0, [], this.#events)
      : new MemoryParking(arena.memory, 0, blocks);
    this.#piscina = new Piscina({
      filename: options.file ?? entryFile(import.meta.url, "./worker"),
      // One more, to take a dead one's place.
      minThreads: owners.running + 1,
      maxThreads: workers + 1,
      concurrentTasksPerWorker: 1,
      atomics: "disabled",
      idleTimeout: Number.POSITIVE_INFINITY,
      // What it runs out of takes only the thread along.
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB },
    });
    this.#failure.promise.catch(() => {});
    for (let worker = 0; worker < owners.running; worker++) this.#start(worker);
    this.#watch = setInterval(() => this.#look(), WATCH_MS);
    this.#watch.unref();
  }

  /** Threads that have taken a dead one's place so far. */
  get restarts(): number {
    return this.#restarts;
  }

  #block(worker: number): number {
    return this.#engine.arena.workerBlock(worker);
  }

  #heartbeat(worker: number): number {
    return this.#engine.arena.word(this.#block(worker) + L.WORKER_HEARTBEAT);
  }

  #start(worker: number, mishap?: Mishap & { at: number }, failedStarts = 0): void {
    const { arena } = this.#engine;
    const { cpus, sockets, spinUs } = this.#options;
    const { port1, port2 } = new MessageChannel();
    const cpu = cpus?.[worker % cpus.length];
    const block = this.#block(worker);
    arena.setWord(block + L.WORKER_STOP, 0);
    arena.setWord(block + L.WORKER_DRAINED, 0);
    const task: WorkerTask = {
      worker,
      memory: arena.memory,
      module: this.#module,
      epochMs: this.#engine.epochMs,
      spinUs: spinUs ?? (this.#engine.owners.running < availableParallelism() ? SPIN_US : 0),
      ...(cpu !== undefined && { cpu }),
      ...(sockets && {
        native: {
          sockets: sockets[worker]!,
          events: this.#events,
          busyPoll: this.#options.busyPoll ?? false,
        },
      }),
      notices: port2,
    };
    const heartbeat = this.#heartbeat(worker);
    const running: Running = {
      // Piscina derives the type of the list from Node's, which has overloads by now.
      task: this.#piscina.run(task, { transferList: [port2] as never }) as Promise<WorkerReport>,
      thread: undefined,
      stopping: false,
      heartbeat,
      still: STUCK_LOOKS - START_LOOKS,
    };
    this.#running[worker] = running;
    port1.unref();
    port1.on("message", (notice: WorkerNotice) => {
      if (notice.kind === "started") {
        running.thread = notice.thread;
        if (mishap) this.#tell({ ...mishap, replacedInMs: performance.now() - mishap.at });
      } else this.#tell({ worker, kind: "trapped", cause: notice.stack, packets: notice.packets });
    });
    const ended = (cause: string) => {
      port1.close();
      // What a worker that was to leave has left undone is done when there is one of its number again.
      if (!running.stopping && !this.#stopped) this.#replace(worker, cause, heartbeat, failedStarts);
    };
    running.task.then(
      () => ended("its loop has ended"),
      (error: Error) => ended(error.message),
    );
  }

  /** The thread of a worker has ended by itself. @param heartbeat of the worker when the thread was started */
  #replace(worker: number, cause: string, heartbeat: number, failedStarts: number): void {
    const { arena } = this.#engine;
    const running = this.#running[worker]!;
    const block = this.#block(worker);
    const packets = packetsInHand(arena.memory, block, {
      ...arena.plan.regions.frames,
      frameBytes: arena.plan.frameBytes,
    });
    // It refers to nothing that is published, and nobody waits for it.
    arena.setWord(block + L.WORKER_EPOCH, L.WORKER_OFFLINE);
    const failed = this.#heartbeat(worker) === heartbeat ? failedStarts + 1 : 0;
    if (failed >= MOST_FAILED_STARTS) {
      this.#failure.reject(
        new GuidewayError(
          "WORKER",
          `worker ${worker} cannot be started: ${failed} threads have ended at once: ${cause}`,
        ),
      );
      return;
    }
    this.#restarts++;
    const kind = running.still >= STUCK_LOOKS ? "stuck" : "died";
    this.#start(worker, { worker, kind, cause, packets, at: performance.now() }, failed);
  }

  #tell(mishap: Mishap): void {
    this.#options.onMishap?.(mishap);
  }

  /** Ends threads whose loops stand still: what they are stuck in does not end by itself. */
  #look(): void {
    for (const [worker, running] of this.#running.entries()) {
      const heartbeat = this.#heartbeat(worker);
      const moved = heartbeat !== running.heartbeat;
      running.heartbeat = heartbeat;
      if (running.still >= STUCK_LOOKS || running.stopping) continue;
      running.still = moved ? 0 : running.still + 1;
      if (running.still === STUCK_LOOKS) this.terminate(worker);
    }
  }

  /** Ends a worker's thread wherever it is; another one takes its place. */
  terminate(worker: number): void {
    const thread = this.#running[worker]?.thread;
    void this.#piscina.threads.find(({ threadId }) => threadId === thread)?.terminate();
  }

  /** Rejects when a worker cannot be kept running. */
  failure(): Promise<never> {
    return this.#failure.promise;
  }

  /** Wakes a worker if it sleeps: after packets were put into its memory ring. */
  wake(worker: number): void {
    const { arena } = this.#engine;
    if (arena.word(this.#block(worker) + L.WORKER_EPOCH) === L.WORKER_OFFLINE) this.#parking.wake(worker);
  }

  /**
   * Lets more workers or fewer own the shards, without a lost packet. Calls must not overlap, nor with stop().
   * @param steer called when packets may go to their new owners directly
   * @throws GuidewayError WORKER when one does not start, or does not go on
   */
  async resize(workers: number, steer: () => Promise<void> | void): Promise<void> {
    const { owners } = this.#engine;
    const before = owners.running;
    // One that an earlier call has started in vain is there, and owns nothing.
    for (let worker = before; worker < workers; worker++) if (!this.#running[worker]) this.#start(worker);
    for (let worker = before; worker < workers; worker++) await this.#started(worker);
    await owners.deal(workers);
    await steer();
    await Promise.all(this.#running.splice(workers).map((running, i) => this.#retire(workers + i, running)));
  }

  async #started(worker: number): Promise<void> {
    const running = this.#running[worker]!;
    const { heartbeat } = running;
    for (const from = performance.now(); this.#heartbeat(worker) === heartbeat; await sleep(1)) {
      if (performance.now() - from > START_MS)
        throw new GuidewayError("WORKER", `worker ${worker} has not started in ${START_MS / 1000} s`);
    }
  }

  async #retire(worker: number, running: Running): Promise<void> {
    running.stopping = true;
    this.#engine.arena.setWord(this.#block(worker) + L.WORKER_STOP, 1);
    this.#parking.wake(worker);
    await running.task.catch(() => {});
  }

  /** Lets the workers drain their rings and ends them. */
  async stop(): Promise<WorkerReport[]> {
    this.#stopped = true;
    clearInterval(this.#watch);
    this.#engine.arena.setWord(L.HEADER_STOP, 1);
    for (const worker of this.#running.keys()) this.#parking.wake(worker);
    const reports = await Promise.allSettled(this.#running.map(({ task }) => task));
    await this.#piscina.destroy();
    if (this.#events.length > 0) this.#events.forEach(loadNative().closeEvent);
    const failed = reports.find((report) => report.status === "rejected");
    if (failed) throw failed.reason;
    return reports.map((report) => (report as PromiseFulfilledResult<WorkerReport>).value);
  }
}
