// The engine offline: packets in, verdicts and packets out, every input fixed (docs/datapath.md §6).
//
// Packets are fed in rounds in which the clock stands still. In each round every packet goes to the worker
// that owns its shard, as the XDP program would steer it, and the round ends when each has its record in a
// journal. Packets that workers hand over or hold (ICMP errors, fragments) have a round of their own, which keeps the order. So
// the result does not depend on the number of workers or on how fast they run.
//
// A fragment that is held has no result yet: it gets one in the round of its first fragment, or in a round without packets
// when its time is over.

import * as L from "../../assembly/layout.ts";
import { REASON_HELD, REASON_OVERSIZED } from "../../assembly/reasons.ts";
import { addressBytes, addressFamily } from "../config/address.ts";
import type { Config } from "../config/schema.ts";
import { type DataplaneExports, instantiate, loadModule, noSockets } from "../dataplane/binary.ts";
import { Engine } from "../dataplane/engine.ts";
import { JournalReader, type PacketRecord } from "../dataplane/journal.ts";
import { PACKET_RING_ENTRIES } from "../dataplane/plan.ts";
import { WorkerPool } from "../dataplane/pool.ts";
import { reasonName } from "../dataplane/reasons.ts";
import { ownSlot } from "../dataplane/steering.ts";
import { GuidewayError } from "../errors.ts";
import { macBytes } from "../mac.ts";
import { MemoryQueue } from "./memory-queue.ts";

/** Digits of π. Offline, nobody can aim at a line, and results must not change from run to run. */
export const OFFLINE_SECRET = [
  0x243f6a8885a308d3n,
  0x13198a2e03707344n,
  0xa4093822299f31d0n,
  0x082efa98ec4e6c89n,
];
const MTU = 1500;
const HELD = reasonName(REASON_HELD);
/** Of the router behind which all clients are. */
export const OFFLINE_ROUTER_MAC = "02:aa:00:00:00:01";
/** Steps of the clock; see assembly/clock.ts. */
const CLOCK_STEP_MS = 16;
/** Packets of a round where some may leave in fragments, and frames that each worker keeps for those: enough if all of them do. */
const FRAGMENT_ROUND = 256;
const RESERVE = 2 * FRAGMENT_ROUND;
/** Passes of a worker in this thread: more than a round has packets. */
const ALL_PASSES = 1 << 16;

export interface OfflinePacket {
  bytes: Uint8Array;
  /** Milliseconds since the first packet. */
  timeMs: number;
}

/** A packet's record, and the packet as it left if it did. That of a held fragment is complete after flush() at the latest. */
export interface OfflineResult extends Omit<PacketRecord, "worker" | "frame" | "line" | "extras"> {
  out?: Uint8Array;
  /** The fragments that followed `out`, which is the first then. */
  fragments?: Uint8Array[];
}

/** A packet in its frame, and where it goes. */
interface Delivery {
  worker: number;
  frame: number;
  length: number;
  /** It has a round of its own. */
  apart: boolean;
}

export interface OfflineOptions {
  workers?: number;
  /** Runs the workers in this thread, one after the other, instead of in a pool. */
  inline?: boolean;
}

/** The MAC address that a backend without one has offline. */
export function offlineMac(address: string): Uint8Array {
  const bytes = addressBytes(address);
  return Uint8Array.of(2, addressFamily(address) === 4 ? 0 : 6, ...bytes.subarray(-4));
}

/** Offline, clients are behind one router of both families, and only the tunnel addresses are the machine's own. */
export function leadToClients({ config, directory, routes }: Engine): void {
  const { address, address6 } = config.machine;
  const own = [address, address6].filter((each) => each !== undefined);
  directory.setOwn(own.map((each) => ownSlot(each, { firstPort: 0, ports: 0 })));
  const hop = { mac: macBytes(OFFLINE_ROUTER_MAC), interface: 0 };
  if (directory.slots.length > 0) routes.set(["0.0.0.0/0", "::/0"].map((prefix) => ({ prefix, hop })));
}

/** Offline there is one interface, and everybody has a MAC address: backends' configured ones, else made-up ones. */
export function settleOffline(engine: Engine): void {
  const { config, directory } = engine;
  directory.setInterface(0, { mac: macBytes(config.machine.mac), mtu: MTU });
  for (const backend of directory.backends) {
    if (!backend) continue;
    const { mac, address } = backend.config;
    directory.setNextHop(backend.id, { mac: mac ? macBytes(mac) : offlineMac(address), interface: 0 });
  }
  leadToClients(engine);
}

export class OfflineEngine {
  readonly engine: Engine;
  readonly #queue: MemoryQueue;
  readonly #journals: JournalReader[];
  readonly #inline: DataplaneExports[] | undefined;
  readonly #pool: WorkerPool | undefined;
  /** By worker: fragments that were sent, and records of packets whose fragments they are. */
  readonly #fragments: Uint8Array[][];
  readonly #expected: { frame: number; extras: number }[][];
  /** Whether workers share buckets, so that it matters which of them is first. */
  readonly #oneByOne: boolean;
  /** Fragments that wait, by frame, in the order in which their time is over. */
  readonly #held = new Map<number, { result: OfflineResult; untilMs: number }>();
  /** Clock of the last round. */
  #nowMs = 0;
  /** The first packet of the next round, if the round before had to end in front of it. */
  #prepared: Delivery | undefined;

  constructor(config: Config, { workers = 1, inline = false }: OfflineOptions = {}) {
    this.engine = new Engine(
      config,
      { queues: 1, workers, journalRecords: PACKET_RING_ENTRIES, reserve: RESERVE },
      OFFLINE_SECRET,
    );
    const { arena } = this.engine;
    this.#oneByOne = workers > 1 && config.vips.some(({ guard }) => (guard?.packetsPerSecond.limit ?? 0) > 0);
    this.#queue = new MemoryQueue(this.engine, 0);
    settleOffline(this.engine);
    this.engine.offerFrames();
    this.#setClock(0);
    this.#journals = Array.from({ length: workers }, (_, worker) => new JournalReader(arena, worker));
    this.#fragments = this.#journals.map(() => []);
    this.#expected = this.#journals.map(() => []);
    if (inline) {
      this.#inline = this.#journals.map((_, worker) => {
        const exports = instantiate(loadModule("#dataplane.wasm"), arena.memory, noSockets);
        exports.attach(worker);
        return exports;
      });
    } else {
      this.#pool = new WorkerPool(this.engine);
    }
  }

  /**
   * Processes packets in order; their times must not decrease.
   * @returns one result per packet, in order. Those that are `isHeld` are filled in by later calls
   */
  async process(packets: readonly OfflinePacket[]): Promise<OfflineResult[]> {
    const results: OfflineResult[] = new Array(packets.length);
    for (let at = 0; at < packets.length; ) {
      at = await this.#round(packets, at, this.#roundEnd(packets, at), results);
    }
    return results;
  }

  /** Whether a result is of a fragment that waits for others. */
  isHeld(result: OfflineResult): boolean {
    return result.reason === HELD;
  }

  /** Ends the wait of all fragments that are held: the clock goes on to when their time is over. */
  async flush(): Promise<void> {
    await this.#expire(Number.POSITIVE_INFINITY);
  }

  /** Rounds without packets: fragments whose time is over by then get their results. */
  async #expire(timeMs: number): Promise<void> {
    for (const { result, untilMs } of this.#held.values()) {
      if (untilMs > timeMs) break;
      this.#setClock(untilMs);
      for (let worker = 0; worker < this.engine.workers; worker++) this.#pool?.wake(worker);
      await this.#work(() => !this.isHeld(result));
    }
  }

  /** Lets the workers work until something is so, and every fragment that does not wait any more has its result. */
  async #work(isSo: () => boolean, inFlight = new Map<number, OfflineResult>()): Promise<void> {
    const isDone = () => isSo() && this.#held.size === this.engine.arena.word(L.HEADER_HELD);
    while (!isDone()) {
      for (const exports of this.#inline ?? []) exports.run(0, ALL_PASSES);
      this.#settle(inFlight);
      if (this.#pool && !isDone()) await this.#letWork();
    }
    for (const exports of this.#inline ?? []) exports.settle();
  }

  /** Frames that each worker has at the start of a round. */
  get #reserve(): number {
    return this.engine.arena.word(L.HEADER_RESERVE);
  }

  /** A round: packets of one clock step, as many as every ring holds; one where the order of workers would show. */
  #roundEnd(packets: readonly OfflinePacket[], from: number): number {
    const most = this.#oneByOne ? 1 : Math.min(L.HANDOFF_ENTRIES, this.engine.arena.plan.frameCount);
    let end = from + 1;
    while (end < packets.length && end - from < most && stepOf(packets[end]!) === stepOf(packets[from]!))
      end++;
    return end;
  }

  /** Processes a round. @returns where it ended: at `to`, or at a packet that goes apart */
  async #round(
    packets: readonly OfflinePacket[],
    from: number,
    to: number,
    results: OfflineResult[],
  ): Promise<number> {
    await this.#expire(stepOf(packets[from]!) * CLOCK_STEP_MS);
    await this.#keepFrames();
    const deliveries: Delivery[] = [];
    const inFlight = new Map<number, OfflineResult>();
    let end = from;
    for (; end < to && !deliveries.at(-1)?.apart; end++) {
      const { bytes } = packets[end]!;
      const result = pending();
      results[end] = result;
      if (bytes.length > this.#queue.capacity) {
        Object.assign(result, { reason: reasonName(REASON_OVERSIZED) });
        continue;
      }
      const delivery = this.#prepared ?? (await this.#prepare(bytes));
      this.#prepared = delivery.apart && deliveries.length > 0 ? delivery : undefined;
      if (this.#prepared) break;
      deliveries.push(delivery);
      inFlight.set(delivery.frame, result);
    }
    const receivers = new Set(deliveries.map(({ worker }) => worker));
    this.#setClock(packets[from]!.timeMs);
    for (const { worker, frame, length } of deliveries) this.#queue.deliver(worker, frame, length);
    for (const worker of receivers) this.#pool?.wake(worker);
    await this.#work(() => inFlight.size === 0, inFlight);
    return end;
  }

  /** Writes a packet into a frame. */
  async #prepare(bytes: Uint8Array): Promise<Delivery> {
    const { arena, exports } = this.engine;
    const frame = await this.#frame();
    const start = this.#queue.address(frame);
    arena.u8.set(bytes, start);
    const steered = exports.steer(start, bytes.length);
    const worker = steered === 0 ? 0 : this.engine.owners.map[steered & (L.SHARDS - 1)]!;
    return { frame, length: bytes.length, worker, apart: (steered & L.STEERED_APART) !== 0 };
  }

  /** Sets the workers' clock. They read it after they have taken packets, and packets are shown after it is set. */
  #setClock(timeMs: number): void {
    this.#nowMs = Math.max(this.#nowMs, timeMs);
    // A clock of exactly 0 would mean real time.
    const clock = Float64Array.of(Math.max(timeMs, Number.MIN_VALUE));
    Atomics.store(this.engine.arena.u64, L.HEADER_CLOCK / 8, new BigUint64Array(clock.buffer)[0]!);
  }

  /** Lets other threads run. @throws GuidewayError TRAPPED: what a trap gives up has no verdict to wait for */
  async #letWork(): Promise<void> {
    const { arena, workers } = this.engine;
    const { regions, countersBytes } = arena.plan;
    for (let worker = 0; worker < workers; worker++) {
      if (arena.u64[(regions.counters.offset + worker * countersBytes + L.COUNTER_TRAPS) / 8] === 0n)
        continue;
      throw new GuidewayError(
        "TRAPPED",
        `worker ${worker} trapped: this is a defect of the data plane, please report it`,
      );
    }
    await new Promise(setImmediate);
  }

  /** A free frame. Frames of the last round may still be on their way back. */
  async #frame(): Promise<number> {
    for (;;) {
      const frame = this.#queue.takeFrame();
      if (frame !== undefined) return frame;
      for (const exports of this.#inline ?? []) exports.settle();
      if (!this.#pool) continue;
      for (let worker = 0; worker < this.engine.workers; worker++) this.#pool.wake(worker);
      await this.#letWork();
    }
  }

  /** Waits until every worker has the frames that it keeps: what it can send in fragments must not depend on luck. */
  async #keepFrames(): Promise<void> {
    const { arena, workers } = this.engine;
    const lacks = (worker: number) =>
      Math.max(0, this.#reserve - arena.word(arena.workerBlock(worker) + L.WORKER_FREE_COUNT));
    for (;;) {
      const lacking = Array.from({ length: workers }, (_, worker) => lacks(worker));
      const short = lacking.flatMap((frames, worker) => (frames > 0 ? [worker] : []));
      if (short.length === 0) return;
      this.#queue.returnFrames(lacking.reduce((sum, frames) => sum + frames, 0));
      for (const exports of this.#inline ?? []) exports.settle();
      for (const worker of short) this.#pool?.wake(worker);
      if (this.#pool) await this.#letWork();
    }
  }

  /**
   * Takes sent packets and records, in this order: a record is written before its packet is shown, so that of each packet
   * taken here the record is there. A frame is in flight until it has all that it gets. Fragments come in frames of the
   * worker's own, in the order of its records.
   */
  #settle(inFlight: Map<number, OfflineResult>): void {
    const sent = new Map<number, Uint8Array>();
    for (let worker = 0; worker < this.engine.workers; worker++) {
      this.#queue.collect(worker, ({ frame, start, length }) => {
        const bytes = this.engine.arena.read(start, length);
        if (inFlight.has(frame) || this.#held.has(frame)) sent.set(frame, bytes);
        else this.#fragments[worker]!.push(bytes);
      });
    }
    for (const journal of this.#journals) {
      for (const { frame, worker, line: _line, extras, ...record } of journal.read()) {
        const result = (inFlight.get(frame) ?? this.#held.get(frame)?.result)!;
        Object.assign(result, record);
        if (record.reason === HELD) {
          const untilMs = this.#nowMs - (this.#nowMs % CLOCK_STEP_MS) + L.FRAGMENT_HELD_MS;
          this.#held.set(frame, { result, untilMs });
        } else if (this.#held.delete(frame)) {
          inFlight.set(frame, result);
        }
        if (record.verdict === "pass" || record.verdict === "drop") inFlight.delete(frame);
        else if (extras > 0) this.#expected[worker]!.push({ frame, extras });
      }
    }
    const isWhole = (frame: number) =>
      !this.#expected.some((all) => all.some((each) => each.frame === frame));
    const finish = (frame: number) => {
      if (inFlight.get(frame)?.out && isWhole(frame)) inFlight.delete(frame);
    };
    for (const [frame, bytes] of sent) {
      inFlight.get(frame)!.out = bytes;
      finish(frame);
    }
    for (const [worker, expected] of this.#expected.entries()) {
      const fragments = this.#fragments[worker]!;
      while (expected.length > 0 && fragments.length >= expected[0]!.extras) {
        const { frame, extras } = expected.shift()!;
        inFlight.get(frame)!.fragments = fragments.splice(0, extras);
        finish(frame);
      }
    }
  }

  async close(): Promise<void> {
    await this.#pool?.stop();
  }
}

const stepOf = ({ timeMs }: OfflinePacket) => Math.floor(timeMs / CLOCK_STEP_MS);

/** The result of a packet about which nothing has been decided yet. */
function pending(): OfflineResult {
  return {
    verdict: "drop",
    reason: "",
    service: 0,
    destinationPort: 0,
    vip: undefined,
    backend: 0,
    tracked: false,
    track: "none",
    answer: false,
    key: 0n,
    shard: 0,
    hash: 0,
    slot: 0,
    l3: 0,
    l4: 0,
  };
}
