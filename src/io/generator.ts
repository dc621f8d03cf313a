// Generated traffic: a queue in memory whose other end makes packets of many flows to the services of VIPs, steers
// them to the workers like the XDP program, and takes what they send.
//
// Flows are a window that moves along: at any time `flows` of them live, a new one opens for every `1 / churn`
// packets, and then the oldest sends no more. Every other packet belongs to the next flow of the window in a
// shuffled order that comes to each of them once before it begins anew.
//
// One thread drives it. Workers may run meanwhile: whoever offers packets wakes those that sleep (WorkerPool.wake).

import * as L from "../../assembly/layout.ts";
import type { Engine } from "../dataplane/engine.ts";
import type { WiredPort } from "../dataplane/wiring.ts";
import { GuidewayError } from "../errors.ts";
import { macBytes } from "../mac.ts";
import { FlowTemplate, MAX_FLOWS, type Service, smallestPacket } from "./flow-template.ts";
import { MemoryQueue } from "./memory-queue.ts";
import { Shuffle } from "./shuffle.ts";

export interface GeneratorOptions {
  /** Flow f goes to service f mod their number. */
  services: readonly Service[];
  /** Flows that live at a time. */
  flows: number;
  /** Share of packets that open a flow, from 0 to 1; the others are of open flows. Default 0. */
  churn?: number;
  /** Bytes of a packet without FCS, raised to what the headers take. Default 64. */
  packetBytes?: number;
  /** Number of the first flow: generators with others far away have flows of their own. Default 0. */
  firstFlow?: number;
  /** Index of the interface that it plays. Default 0. */
  interface?: number;
}

/** A sent packet: arena address of its first byte, and bytes. Valid while it is looked at. */
export type Look = (start: number, length: number) => void;

export class Generator {
  readonly #engine: Engine;
  readonly #templates: FlowTemplate[];
  readonly #ports: WiredPort[];
  readonly #queue: number;
  /** RX producers while packets are written, by worker. */
  readonly #producers: Uint32Array;
  readonly #shuffle: Shuffle;
  readonly #flows: number;
  readonly #churn: number;
  readonly #first: number;
  /** The first flow that was not open yet. */
  #next: number;
  /** Flows to open, in parts. */
  #due = 0;
  /** Packets that found their worker's RX ring full, as a NIC drops them. */
  lost = 0;

  /** Adds a queue to an engine that is not running yet. @throws GuidewayError GENERATOR */
  constructor(engine: Engine, options: GeneratorOptions) {
    const { services, flows, churn = 0, packetBytes = 64 } = options;
    if (!Number.isInteger(flows) || flows < 1 || flows > MAX_FLOWS) {
      throw new GuidewayError("GENERATOR", `flows is ${flows}, expected an integer from 1 to ${MAX_FLOWS}`);
    }
    this.#engine = engine;
    const { u8, plan } = engine.arena;
    const interfaceIndex = options.interface ?? 0;
    this.#queue = engine.wiring.queues.length;
    new MemoryQueue(engine, interfaceIndex);
    this.#ports = engine.wiring.ports.filter(({ queue }) => queue === this.#queue);
    this.#producers = new Uint32Array(engine.workers);
    // The interface's own address, or the configured one where none was set.
    const record = plan.regions.interfaces.offset + interfaceIndex * L.INTERFACE_BYTES;
    const own = u8.slice(record, record + 6);
    const mac = own.some((byte) => byte !== 0) ? own : macBytes(engine.config.machine.mac);
    if (packetBytes > plan.frameBytes - L.HEADROOM) {
      throw new GuidewayError(
        "GENERATOR",
        `packetBytes is ${packetBytes}, expected at most the ${plan.frameBytes - L.HEADROOM} bytes that a frame holds`,
      );
    }
    this.#templates = services.map(
      (service) => new FlowTemplate(service, mac, Math.max(packetBytes, smallestPacket(service))),
    );
    this.#first = options.firstFlow ?? 0;
    this.#next = this.#first;
    this.#flows = flows;
    this.#churn = churn;
    this.#shuffle = new Shuffle(flows);
  }

  /** Opens up to `count` flows that were never seen, with a packet each. @returns packets delivered */
  open(count: number): number {
    return this.#offer(count, 1);
  }

  /** Makes up to `count` packets, as many as there are frames. @returns packets delivered */
  offer(count: number): number {
    return this.#offer(count, this.#churn);
  }

  #offer(count: number, churn: number): number {
    const { arena, wiring, workers } = this.#engine;
    const { u32, u16, plan } = arena;
    const { fill } = wiring.queues[this.#queue]!;
    const first = arena.word(fill.consumer);
    const frames = (arena.word(fill.producer) - first) >>> 0;
    const base = plan.regions.frames.offset + L.HEADROOM;
    this.#ports.forEach(({ rx }, worker) => {
      this.#producers[worker] = arena.word(rx.producer);
    });
    let taken = 0;
    const most = Math.min(count, frames);
    for (let i = 0; i < most; i++) {
      const frame = u32[(fill.descriptors + ((first + taken) & fill.mask) * L.FRAME_DESCRIPTOR_BYTES) / 4]!;
      this.#due += churn;
      const opens = this.#due >= 1 || this.#next === this.#first;
      if (this.#due >= 1) this.#due--;
      const flow = opens ? this.#next++ : this.#flowOfWindow();
      const template = this.#templates[flow % this.#templates.length]!;
      template.write(u32, u16, base + frame, flow % MAX_FLOWS, opens);
      const worker = workers === 1 ? 0 : this.#steer(base + frame, template.bytes.length);
      if (this.#deliver(worker, frame + L.HEADROOM, template.bytes.length)) taken++;
      else this.lost++;
    }
    arena.setWord(fill.consumer, first + taken);
    this.#ports.forEach(({ rx }, worker) => {
      arena.setWord(rx.producer, this.#producers[worker]!);
    });
    return taken;
  }

  /** The next flow of those that are open. */
  #flowOfWindow(): number {
    const oldest = Math.max(this.#first, this.#next - this.#flows);
    for (;;) {
      const flow = oldest + this.#shuffle.next();
      if (flow < this.#next) return flow;
    }
  }

  #steer(start: number, length: number): number {
    const steered = this.#engine.exports.steer(start, length);
    return steered === 0 ? 0 : this.#engine.owners.map[steered & (L.SHARDS - 1)]!;
  }

  /** Writes a descriptor, to be shown with the others. */
  #deliver(worker: number, address: number, length: number): boolean {
    const { u32 } = this.#engine.arena;
    const { rx } = this.#ports[worker]!;
    const producer = this.#producers[worker]!;
    if ((producer - this.#engine.arena.word(rx.consumer)) >>> 0 > rx.mask) return false;
    const slot = (rx.descriptors + (producer & rx.mask) * L.PACKET_DESCRIPTOR_BYTES) / 4;
    u32[slot] = address;
    u32[slot + 1] = 0;
    u32[slot + 2] = length;
    u32[slot + 3] = 0;
    this.#producers[worker] = producer + 1;
    return true;
  }

  /** Takes what the workers sent and returns the frames. @returns packets taken */
  collect(look?: Look): number {
    const { arena, wiring } = this.#engine;
    const { u32, plan } = arena;
    const { completion } = wiring.queues[this.#queue]!;
    let completed = arena.word(completion.producer);
    let total = 0;
    for (const { tx } of this.#ports) {
      const first = arena.word(tx.consumer);
      const count = (arena.word(tx.producer) - first) >>> 0;
      for (let i = 0; i < count; i++) {
        const slot = (tx.descriptors + ((first + i) & tx.mask) * L.PACKET_DESCRIPTOR_BYTES) / 4;
        const address = u32[slot]!;
        look?.(plan.regions.frames.offset + address, u32[slot + 2]!);
        const back = (completion.descriptors + (completed & completion.mask) * L.FRAME_DESCRIPTOR_BYTES) / 4;
        u32[back] = address;
        u32[back + 1] = 0;
        completed = (completed + 1) >>> 0;
      }
      arena.setWord(tx.consumer, first + count);
      total += count;
    }
    arena.setWord(completion.producer, completed);
    return total;
  }
}
