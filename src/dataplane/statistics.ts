// Reading what the workers counted. Every counter has one writer; sums are made here.

import * as L from "../../assembly/layout.ts";
import type { Arena } from "./arena.ts";
import { reasons } from "./reasons.ts";

export interface WorkerStatistics {
  worker: number;
  packets: number;
  bytes: number;
  batches: number;
  /** Packets handed to other workers. */
  handed: number;
  kicks: number;
  parks: number;
  traps: number;
  /** Entries of the connection table. */
  expired: number;
  evicted: number;
  /** Nanoseconds spent in passes that found packets: its own, and the kernel's, which sends in copy mode. */
  busyNs: number;
  kernelNs: number;
  heartbeat: number;
  parked: boolean;
}

export interface Traffic {
  packets: number;
  bytes: number;
}

export interface BackendTraffic extends Traffic {
  newFlows: number;
  activeFlows: number;
}

export class Statistics {
  readonly #arena: Arena;
  readonly #workers: number[];

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#workers = Array.from({ length: arena.plan.shape.workers }, (_, worker) => worker);
  }

  /** A counter of one worker. Signed, so that changes that go below zero in one worker add up. */
  #counter(worker: number, counter: number): number {
    const { plan, u64 } = this.#arena;
    const at = plan.regions.counters.offset + worker * plan.countersBytes + counter;
    return Number(BigInt.asIntN(64, Atomics.load(u64, at / 8)));
  }

  #sum(counter: number): number {
    return this.#workers.reduce((sum, worker) => sum + this.#counter(worker, counter), 0);
  }

  workers(): WorkerStatistics[] {
    return this.#workers.map((worker) => {
      const block = this.#arena.workerBlock(worker);
      return {
        worker,
        packets: this.#counter(worker, L.COUNTER_RECEIVED),
        bytes: this.#counter(worker, L.COUNTER_RECEIVED_BYTES),
        batches: this.#counter(worker, L.COUNTER_BATCHES),
        handed: this.#counter(worker, L.COUNTER_HANDED),
        kicks: this.#counter(worker, L.COUNTER_KICKS),
        parks: this.#counter(worker, L.COUNTER_PARKS),
        traps: this.#counter(worker, L.COUNTER_TRAPS),
        expired: this.#counter(worker, L.COUNTER_EXPIRED),
        evicted: this.#counter(worker, L.COUNTER_EVICTED),
        busyNs: this.#counter(worker, L.COUNTER_BUSY_NS),
        kernelNs: this.#counter(worker, L.COUNTER_KERNEL_NS),
        heartbeat: this.#arena.word(block + L.WORKER_HEARTBEAT),
        parked: this.#arena.word(block + L.WORKER_EPOCH) === L.WORKER_OFFLINE,
      };
    });
  }

  /** Packets by reason, those that occurred. */
  reasons(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const [code, name] of reasons) {
      const count = this.#sum(L.COUNTER_REASONS + code * 8);
      if (count !== 0) counts[name] = count;
    }
    return counts;
  }

  vip(index: number): Traffic {
    const at = L.COUNTER_VIPS + index * L.COUNTER_VIP_BYTES;
    return { packets: this.#sum(at), bytes: this.#sum(at + 8) };
  }

  backend(id: number): BackendTraffic {
    const at = L.COUNTER_BACKENDS + id * L.COUNTER_BACKEND_BYTES;
    return {
      packets: this.#sum(at),
      bytes: this.#sum(at + 8),
      newFlows: this.#sum(at + 16),
      activeFlows: this.#sum(at + 24),
    };
  }
}
