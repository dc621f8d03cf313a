// Reading what the workers counted. Every counter has one writer; sums are made here.

import * as L from "../../assembly/layout.ts";
import type { Arena } from "./arena.ts";
import { reasons, vipReasons } from "./reasons.ts";

export interface WorkerStatistics {
  worker: number;
  packets: number;
  bytes: number;
  batches: number;
  /** Packets handed to other workers. */
  handed: number;
  /** Fragments sent, behind the first of each packet. */
  fragments: number;
  kicks: number;
  parks: number;
  traps: number;
  /** Entries of the connection table: those that it holds, and those that went. */
  entries: number;
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
  /** What counters had counted for others, before they were given to whom they count for now. */
  readonly #bases = new Map<number, number>();

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
        fragments: this.#counter(worker, L.COUNTER_EXTRAS),
        kicks: this.#counter(worker, L.COUNTER_KICKS),
        parks: this.#counter(worker, L.COUNTER_PARKS),
        traps: this.#counter(worker, L.COUNTER_TRAPS),
        entries: this.#counter(worker, L.COUNTER_ENTRIES),
        expired: this.#counter(worker, L.COUNTER_EXPIRED),
        evicted: this.#counter(worker, L.COUNTER_EVICTED),
        busyNs: this.#counter(worker, L.COUNTER_BUSY_NS),
        kernelNs: this.#counter(worker, L.COUNTER_KERNEL_NS),
        heartbeat: this.#arena.word(block + L.WORKER_HEARTBEAT),
        parked: this.#arena.word(block + L.WORKER_EPOCH) === L.WORKER_OFFLINE,
      };
    });
  }

  /** Counter of a reason at a VIP. @param number of the VIP's counters */
  #vipReason(number: number, code: number): number {
    return this.#arena.plan.vipReasons + number * L.COUNTER_VIP_REASONS_BYTES + code * 8;
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

  /** Sum of a counter since its number was given to somebody. */
  #since(counter: number): number {
    return this.#sum(counter) - (this.#bases.get(counter) ?? 0);
  }

  /** From now on the counters are another VIP's. */
  rebaseVip(number: number): void {
    const at = L.COUNTER_VIPS + number * L.COUNTER_VIP_BYTES;
    const byReason = [...vipReasons.keys()].map((code) => this.#vipReason(number, code));
    for (const counter of [at, at + 8, ...byReason]) this.#bases.set(counter, this.#sum(counter));
  }

  /** From now on the counters are another backend's. Active flows are not: they end at zero by themselves. */
  rebaseBackend(id: number): void {
    const at = L.COUNTER_BACKENDS + id * L.COUNTER_BACKEND_BYTES;
    for (const counter of [at, at + 8, at + 16]) this.#bases.set(counter, this.#sum(counter));
  }

  /** @param number of the VIP's counters: Directory.vipNumbers */
  vip(number: number): Traffic {
    const at = L.COUNTER_VIPS + number * L.COUNTER_VIP_BYTES;
    return { packets: this.#since(at), bytes: this.#since(at + 8) };
  }

  /** What became of a VIP's packets other than hits, by reason, those that occurred. @param number Directory.vipNumbers */
  vipReasons(number: number): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const [code, name] of vipReasons) {
      const count = this.#since(this.#vipReason(number, code));
      if (count !== 0) counts[name] = count;
    }
    return counts;
  }

  backend(id: number): BackendTraffic {
    const at = L.COUNTER_BACKENDS + id * L.COUNTER_BACKEND_BYTES;
    return {
      packets: this.#since(at),
      bytes: this.#since(at + 8),
      newFlows: this.#since(at + 16),
      activeFlows: this.#sum(at + 24),
    };
  }

  /**
   * Changes when a worker's sweep begins anew, or goes through other lines: what was swept before says nothing then of what will
   * have been.
   */
  sweepers(): string {
    const starts = this.#workers.map((worker) =>
      this.#arena.word(this.#arena.workerBlock(worker) + L.WORKER_STARTS),
    );
    return [this.#arena.word(L.HEADER_OWNERS), ...starts].join();
  }

  /** How often each worker has swept all of its lines; undefined for one without shards. */
  sweeps(): (number | undefined)[] {
    const at = L.HEADER_SHARD_OWNERS + (this.#arena.word(L.HEADER_OWNERS) & 1) * L.SHARDS;
    const owners = this.#arena.u8.subarray(at, at + L.SHARDS);
    return this.#workers.map((worker) => {
      const shards = owners.reduce((sum, owner) => sum + Number(owner === worker), 0);
      if (shards === 0) return undefined;
      return this.#counter(worker, L.COUNTER_SWEPT) / (shards * this.#arena.plan.shardLines);
    });
  }

  /** Sweeps after which an entry whose flow sends no more is gone: one a shortest timeout, and two for what is under way. */
  sweepsToExpiry(): number {
    const timeouts = [L.FLOW_NEW, L.FLOW_ESTABLISHED, L.FLOW_CLOSING, L.FLOW_UDP].map((state) =>
      this.#arena.word(L.HEADER_TIMEOUTS + 4 * state),
    );
    return Math.ceil((Math.max(...timeouts) / Math.min(...timeouts)) * (1 + 1 / L.AGE_PER_TIMEOUT)) + 2;
  }
}
