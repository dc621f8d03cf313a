// The arena as the controller sees it: the shared memory, its views, and its header.

import * as L from "../../assembly/layout.ts";
import type { ArenaPlan } from "./plan.ts";

const WASM_PAGE = 65536;

/** Inputs of the header that are not sizes. */
export interface ArenaInputs {
  /** Four 64-bit words keying the connection table. */
  secret: readonly bigint[];
  /** The fleet's seed. */
  seed: bigint;
  /** Milliseconds. */
  timeouts: { new: number; established: number; closing: number; udp: number };
  /** Flows a second that the connection table takes; 0 for any number. */
  newFlowsPerSecond?: number;
  /** ICMP errors of the machine's own; 0 for none. */
  icmpErrorsPerSecond?: number;
  /** Outer source addresses of tunnels, in network order. */
  sourceV4?: Uint8Array;
  sourceV6?: Uint8Array;
}

export class Arena {
  readonly plan: ArenaPlan;
  readonly memory: WebAssembly.Memory;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly u64: BigUint64Array;
  readonly f64: Float64Array;

  /** Allocates the memory at its full size and writes the header. Every other record is zero. */
  constructor(plan: ArenaPlan, inputs: ArenaInputs) {
    this.plan = plan;
    const pages = plan.bytes / WASM_PAGE;
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const { buffer } = this.memory;
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u64 = new BigUint64Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.#writeHeader(inputs);
    for (let worker = 0; worker <= plan.shape.workers; worker++) {
      this.setWord(this.workerBlock(worker) + L.WORKER_EPOCH, L.WORKER_OFFLINE);
      this.u8.fill(
        255,
        this.workerBlock(worker) + L.WORKER_EGRESS,
        this.workerBlock(worker) + L.WORKER_EGRESS + L.MAX_INTERFACES,
      );
    }
  }

  #writeHeader(inputs: ArenaInputs): void {
    const { plan } = this;
    const { regions } = plan;
    const words: [address: number, value: number][] = [
      [L.HEADER_VERSION, L.LAYOUT_VERSION],
      [L.HEADER_WORKER_COUNT, plan.shape.workers],
      [L.HEADER_RUNNING, plan.shape.running],
      [L.HEADER_INTERFACES, regions.interfaces.offset],
      [L.HEADER_BACKENDS, regions.backends.offset],
      [L.HEADER_QUEUES, regions.queues.offset],
      [L.HEADER_WORKERS, regions.workers.offset],
      [L.HEADER_FREE_LISTS, regions.freeLists.offset],
      [L.HEADER_COUNTERS, regions.counters.offset],
      [L.HEADER_JOURNALS, plan.shape.journalRecords === 0 ? 0 : regions.journals.offset],
      [L.HEADER_CONNTRACK, regions.conntrack.offset],
      [L.HEADER_FRAMES, regions.frames.offset],
      [L.HEADER_FREE_LIST_BYTES, plan.freeListBytes],
      [L.HEADER_COUNTERS_BYTES, plan.countersBytes],
      [L.HEADER_JOURNAL_RECORDS, plan.shape.journalRecords],
      [L.HEADER_SHARD_LINES, plan.shardLines],
      [L.HEADER_FRAME_COUNT, plan.frameCount],
      [L.HEADER_FRAME_BYTES, plan.frameBytes],
      [L.HEADER_BATCH, plan.batch],
      [L.HEADER_PROBES, regions.probes.offset],
      [L.HEADER_ICMP_ERRORS, inputs.icmpErrorsPerSecond ?? 0],
      [L.HEADER_NEW_FLOWS, inputs.newFlowsPerSecond ?? 0],
      [L.HEADER_RATES, regions.rates.offset],
      [L.HEADER_SHARD_RECORDS, regions.shards.offset],
      [L.HEADER_VIP_REASONS, plan.vipReasons],
      [L.HEADER_FRAGMENTS, regions.fragments.offset],
      [L.HEADER_HELD_LIMIT, plan.heldLimit],
      [L.HEADER_TIMEOUTS + 4 * L.FLOW_NEW, inputs.timeouts.new],
      [L.HEADER_TIMEOUTS + 4 * L.FLOW_ESTABLISHED, inputs.timeouts.established],
      [L.HEADER_TIMEOUTS + 4 * L.FLOW_CLOSING, inputs.timeouts.closing],
      [L.HEADER_TIMEOUTS + 4 * L.FLOW_UDP, inputs.timeouts.udp],
      [L.HEADER_MAGIC, L.MAGIC],
    ];
    for (const [address, value] of words) this.setWord(address, value);
    inputs.secret.forEach((word, i) => {
      this.u64[L.HEADER_SECRET / 8 + i] = word;
    });
    this.u64[L.HEADER_SEED / 8] = inputs.seed;
    if (inputs.sourceV4) this.u8.set(inputs.sourceV4, L.HEADER_SOURCE_V4);
    if (inputs.sourceV6) this.u8.set(inputs.sourceV6, L.HEADER_SOURCE_V6);
  }

  /** Address of a worker's control block; worker number `workers` is the controller's own. */
  workerBlock(worker: number): number {
    return this.plan.regions.workers.offset + worker * L.WORKER_BYTES;
  }

  word(address: number): number {
    return Atomics.load(this.u32, address / 4);
  }

  /** Whether workers keep frames back for fragments that they make. */
  setReserve(keeps: boolean): void {
    this.setWord(L.HEADER_RESERVE, keeps ? this.plan.shape.reserve : 0);
  }

  setWord(address: number, value: number): void {
    Atomics.store(this.u32, address / 4, value);
  }

  /** Writes an interface's record. */
  setInterface(index: number, { mac, mtu }: { mac: Uint8Array; mtu: number }): void {
    const at = this.plan.regions.interfaces.offset + index * L.INTERFACE_BYTES;
    this.u8.set(mac, at + L.INTERFACE_MAC);
    this.setWord(at + L.INTERFACE_MTU, mtu);
  }

  /** A copy of bytes. */
  read(address: number, bytes: number): Uint8Array {
    return this.u8.slice(address, address + bytes);
  }
}
