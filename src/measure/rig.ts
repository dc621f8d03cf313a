// Workers in threads of their own, in memory, each fed by its own queue: what `tune` measures.
//
//   rig       one arena for as many workers as there may be, as `run` has it; its threads
//   setting   how many of them own shards, packets of a batch, whether threads are pinned
//   turn      some rounds of a setting: settings are compared by turns that alternate
//
// Between turns nobody runs: all workers are parked, and the number of workers, the batch and what is sent may change.

import { Piscina } from "piscina";
import * as L from "../../assembly/layout.ts";
import type { Config } from "../config/schema.ts";
import { loadModule } from "../dataplane/binary.ts";
import { Engine } from "../dataplane/engine.ts";
import type { QueueRings, WiredPort } from "../dataplane/wiring.ts";
import { entryFile } from "../entry.ts";
import { MemoryQueue } from "../io/memory-queue.ts";
import { OFFLINE_SECRET, settleOffline } from "../io/offline.ts";
import { Shuffle } from "../io/shuffle.ts";
import { median } from "../quantiles.ts";
import { BARRIER_WORDS } from "./barrier.ts";
import { adviseHugePages } from "./huge-pages.ts";
import type { TurnReport, TurnTask } from "./thread-task.ts";
import type { Traffic } from "./traffic.ts";

export interface Setting {
  workers: number;
  /** Packets of a batch; the configuration's when it is not said. */
  batch?: number;
  /** CPUs to pin the workers to, in order; not pinned without. */
  cpus?: readonly number[];
}

export interface TurnOptions {
  rounds: number;
  warmRounds: number;
}

export interface Turn {
  /** Million packets a second of all workers together. */
  mpps: number;
  /** Nanoseconds per packet of each worker: medians of its rounds. */
  nsPerPacket: number[];
  /** Packets that all workers took, and of these how many left again. */
  packets: number;
  sent: number;
}

/** What each of so many workers is to send: packets of the shards that it owns (Rig.steer), by worker. */
export type Sharing = (rig: Rig, workers: number) => Traffic[];

export class Rig {
  readonly engine: Engine;
  readonly #module = loadModule("#dataplane.wasm");
  readonly #pools = new Map<string, Piscina>();
  readonly #traffic: Sharing;
  /** By worker: what it sends, and how much of it was sent. */
  #shares: { traffic: Traffic; from: number }[] = [];
  #clockMs = 16;

  /**
   * @param workers most of a setting
   * @param traffic what the workers are to send
   */
  constructor(config: Config, workers: number, traffic: Sharing) {
    this.engine = new Engine(config, { queues: workers, workers }, OFFLINE_SECRET);
    this.#traffic = traffic;
    const { arena } = this.engine;
    adviseHugePages(arena);
    settleOffline(this.engine);
    for (let worker = 0; worker < workers; worker++) new MemoryQueue(this.engine, 0);
    this.engine.offerFrames();
    for (const { fill } of this.engine.wiring.queues) this.#shuffleFrames(fill);
    // A worker that has not run yet refers to nothing.
    for (let worker = 0; worker < workers; worker++)
      arena.setWord(arena.workerBlock(worker) + L.WORKER_EPOCH, L.WORKER_OFFLINE);
  }

  /** Frames in any order, as they are after some hours of traffic: no prefetcher knows where the next header is. */
  #shuffleFrames(fill: QueueRings["fill"]): void {
    const { arena } = this.engine;
    const count = arena.word(fill.producer);
    const slots = arena.u64.subarray(fill.descriptors / 8, fill.descriptors / 8 + count);
    const before = slots.slice();
    const order = new Shuffle(Math.max(1, count));
    for (let i = 0; i < count; i++) slots[i] = before[order.next()]!;
  }

  /** The worker that a packet at an arena address is for; 0 when it is for none, as without steering. */
  steer(start: number, length: number): number {
    const steered = this.engine.exports.steer(start, length);
    return steered === 0 ? 0 : this.engine.owners.map[steered & (L.SHARDS - 1)]!;
  }

  /** Gives the shards to so many workers, tells each what it sends, and enters what they will find in the connection table. */
  async #use(workers: number): Promise<void> {
    if (this.#shares.length === workers) return;
    if (this.engine.owners.running !== workers) await this.engine.owners.deal(workers);
    this.#shares = this.#traffic(this, workers).map((traffic) => ({ traffic, from: 0 }));
  }

  /** Enters the flows: each with a packet that opens it, and one that makes it established. */
  async enter(): Promise<void> {
    await this.#use(this.engine.owners.running);
    const options = { rounds: 0, warmRounds: 0 };
    await this.#run({ workers: this.#shares.length }, options, true);
    const most = Math.max(...this.#shares.map(({ traffic }) => countOf(traffic)));
    await this.turn({ workers: this.#shares.length }, { rounds: 0, warmRounds: Math.ceil(most / 2048) });
  }

  /** A turn of a setting. Turns must not overlap. */
  async turn(setting: Setting, options: TurnOptions): Promise<Turn> {
    await this.#use(setting.workers);
    const reports = await this.#run(setting, options, false);
    const rates = reports.map(({ roundsNs, roundPackets }) =>
      median(roundsNs.flatMap((ns, i) => (roundPackets[i]! > 0 ? [ns / roundPackets[i]!] : []))),
    );
    const sum = (of: (report: TurnReport) => number) => reports.reduce((total, each) => total + of(each), 0);
    return {
      mpps: rates.reduce((total, ns) => total + (Number.isNaN(ns) ? 0 : 1000 / ns), 0),
      nsPerPacket: rates,
      packets: sum(({ packets }) => packets),
      sent: sum(({ sent }) => sent),
    };
  }

  async #run(
    { workers, batch, cpus }: Setting,
    { rounds, warmRounds }: TurnOptions,
    enters: boolean,
  ): Promise<TurnReport[]> {
    const { arena, config } = this.engine;
    arena.setWord(L.HEADER_BATCH, batch ?? config.workers.batch);
    const barrier = new Int32Array(new SharedArrayBuffer(4 * BARRIER_WORDS));
    const pool = this.#pool(cpus ? "pinned" : "free");
    const tasks = this.#shares.map(({ traffic, from }, worker): TurnTask => {
      const cpu = cpus?.[worker % cpus.length];
      return {
        worker,
        memory: arena.memory,
        module: this.#module,
        rings: this.#rings(worker),
        frames: arena.plan.regions.frames.offset,
        traffic,
        from,
        enters,
        warmRounds,
        rounds,
        clockMs: this.#clockMs,
        barrier,
        workers,
        ...(cpu !== undefined && { cpu }),
      };
    });
    const reports = await Promise.all(tasks.map((task) => pool.run(task) as Promise<TurnReport>));
    if (!enters) for (const [worker, { packets }] of reports.entries()) this.#shares[worker]!.from += packets;
    this.#clockMs = Math.max(...reports.map(({ clockMs }) => clockMs));
    return reports;
  }

  /** Pinned threads stay pinned, so the others are others. */
  #pool(name: string): Piscina {
    const known = this.#pools.get(name);
    if (known) return known;
    const threads = this.engine.workers;
    const pool = new Piscina({
      filename: entryFile(import.meta.url, "./thread"),
      minThreads: threads,
      maxThreads: threads,
      concurrentTasksPerWorker: 1,
      atomics: "disabled",
      idleTimeout: Number.POSITIVE_INFINITY,
    });
    this.#pools.set(name, pool);
    return pool;
  }

  #rings(worker: number): TurnTask["rings"] {
    const { queues, ports } = this.engine.wiring;
    const { rx, tx } = ports.find((port: WiredPort) => port.worker === worker && port.queue === worker)!;
    const { fill, completion } = queues[worker]!;
    return { rx, tx, fill, completion };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
  }
}

const countOf = (traffic: Traffic) =>
  traffic.kind === "flows" ? traffic.flows.length : traffic.order.length;
