// The prober's thread, kept alive.
//
//   state      enters when                         leaves when
//   running    started; gets all orders at once    it exits by itself, or its heart stands still
//   waiting    it is gone, and not for the first   the pause is over
//              time in a while
//   stopping   stop()                              it has exited
import { Worker } from "node:worker_threads";
import type { Logger } from "../log.ts";
import type { Board } from "./board.ts";
import type { Order, ProberData, Report } from "./messages.ts";

/** How often the heart is looked at, and how many times it may stand still; more while it starts. */
const WATCH_MS = 1000;
const PATIENCE = 5;
const START_PATIENCE = 20;
/** A thread that lived so long was no failed start. */
const SETTLED_MS = 60_000;
const MAX_PAUSE_MS = 30_000;
const STOP_MS = 2000;
/** What it runs out of takes only the thread along. */
const MAX_HEAP_MIB = 512;

export interface ProberThreadOptions {
  file: string;
  board: Board;
  log: Logger;
  /** Called for every thread that starts, to give it its orders. */
  started(send: (order: Order) => void): void;
  received(report: Report): void;
}

export class ProberThread {
  readonly #options: ProberThreadOptions;
  #worker: Worker | undefined;
  #startedAt = 0;
  #exited: Promise<void> = Promise.resolve();
  #stopping = false;
  #failures = 0;
  #restarts = 0;
  #pause: NodeJS.Timeout | undefined;
  readonly #watch: NodeJS.Timeout;
  #beats = 0;
  #still = 0;

  constructor(options: ProberThreadOptions) {
    this.#options = options;
    this.#watch = setInterval(() => this.#look(), WATCH_MS);
    this.#start();
  }

  /** How often it had to be started again. */
  get restarts(): number {
    return this.#restarts;
  }

  send(order: Order): void {
    this.#worker?.postMessage(order);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#watch);
    clearTimeout(this.#pause);
    const worker = this.#worker;
    if (!worker) return;
    this.send({ kind: "stop" });
    const late = setTimeout(() => void worker.terminate(), STOP_MS);
    await this.#exited;
    clearTimeout(late);
  }

  #start(): void {
    const { file, board, received, started } = this.#options;
    const workerData: ProberData = { board: board.buffers };
    const worker = new Worker(file, {
      name: "health",
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB },
    });
    this.#worker = worker;
    this.#startedAt = performance.now();
    this.#still = PATIENCE - START_PATIENCE;
    let cause: unknown;
    worker.on("message", received);
    worker.on("error", (error) => {
      cause = error;
    });
    this.#exited = new Promise((resolve) => {
      worker.once("exit", (code) => {
        this.#worker = undefined;
        resolve();
        if (!this.#stopping) this.#restart(cause ?? new Error(`exit code ${code}`));
      });
    });
    started((order) => worker.postMessage(order));
  }

  #restart(cause: unknown): void {
    if (performance.now() - this.#startedAt > SETTLED_MS) this.#failures = 0;
    const pauseMs = this.#failures === 0 ? 0 : Math.min(MAX_PAUSE_MS, 500 * 2 ** this.#failures);
    this.#failures++;
    this.#restarts++;
    this.#options.log.error(
      { err: cause, pauseMs },
      "the thread of the health checks has ended by itself; it is started again, and backends keep their states meanwhile",
    );
    this.#pause = setTimeout(() => this.#start(), pauseMs);
  }

  /** Ends a thread whose heart stands still: what it is stuck in does not end by itself. */
  #look(): void {
    const beats = this.#options.board.total("heartbeat");
    this.#still = beats === this.#beats ? this.#still + 1 : 0;
    this.#beats = beats;
    if (this.#still < PATIENCE || !this.#worker) return;
    this.#still = 0;
    this.#options.log.error("the thread of the health checks is stuck and is ended");
    void this.#worker.terminate();
  }
}
