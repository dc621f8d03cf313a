// What the threads of a measurement send, in a form that they can share: the flows of a generator, or packets of a capture.

import { FlowTemplate, MAX_FLOWS, type Service } from "../io/flow-template.ts";

/** Flow f of a list goes to service f modulo their number. */
export interface FlowTraffic {
  kind: "flows";
  services: readonly Service[];
  /** Destination of the packets, six bytes. */
  mac: Uint8Array;
  packetBytes: number;
  /** Numbers of the flows, in shared memory. */
  flows: Uint32Array;
  /** Share of packets that open a flow that was not there before, from the first number on. */
  opening?: { share: number; first: number };
}

/** Packets one after the other. */
export interface PacketTraffic {
  kind: "packets";
  /** In shared memory. Packet i is from `ends[i - 1]`, the first from 0, up to `ends[i]`; `order` says which are sent. */
  bytes: Uint8Array;
  ends: Uint32Array;
  order: Uint32Array;
}

export type Traffic = FlowTraffic | PacketTraffic;

/** Writes packet after packet, and begins anew at the end. */
export interface Packets {
  /** How many there are until they begin anew. */
  readonly count: number;
  /** Writes the next one. @param at arena address, a multiple of 4. @returns its length */
  write(at: number): number;
}

/**
 * @param memory the arena
 * @param from how many packets to leave out
 * @param opens whether each packet is to be its flow's first
 */
export function packetsOf(
  traffic: Traffic,
  memory: WebAssembly.Memory,
  from: number,
  opens: boolean,
): Packets {
  return traffic.kind === "flows"
    ? new FlowPackets(traffic, memory, from, opens)
    : new CapturedPackets(traffic, memory, from);
}

class FlowPackets implements Packets {
  readonly count: number;
  readonly #templates: FlowTemplate[];
  readonly #flows: Uint32Array;
  readonly #u32: Uint32Array;
  readonly #u16: Uint16Array;
  readonly #opens: boolean;
  readonly #share: number;
  #next: number;
  #unseen: number;
  #due = 0;

  constructor(traffic: FlowTraffic, memory: WebAssembly.Memory, from: number, opens: boolean) {
    const { services, mac, packetBytes, flows, opening } = traffic;
    this.#templates = services.map((service) => new FlowTemplate(service, mac, packetBytes));
    this.#flows = flows;
    this.#u32 = new Uint32Array(memory.buffer);
    this.#u16 = new Uint16Array(memory.buffer);
    this.#opens = opens;
    this.count = flows.length;
    this.#next = flows.length === 0 ? 0 : from % flows.length;
    this.#share = opening?.share ?? 0;
    this.#unseen = (opening?.first ?? 0) + Math.ceil(from * this.#share);
  }

  write(at: number): number {
    this.#due += this.#share;
    const isNew = this.#due >= 1;
    if (isNew) this.#due--;
    const flow = isNew ? this.#unseen++ % MAX_FLOWS : this.#flows[this.#next]!;
    if (!isNew && ++this.#next === this.#flows.length) this.#next = 0;
    const template = this.#templates[flow % this.#templates.length]!;
    template.write(this.#u32, this.#u16, at, flow, isNew || this.#opens);
    return template.bytes.length;
  }
}

class CapturedPackets implements Packets {
  readonly count: number;
  readonly #traffic: PacketTraffic;
  readonly #u8: Uint8Array;
  #next: number;

  constructor(traffic: PacketTraffic, memory: WebAssembly.Memory, from: number) {
    this.#traffic = traffic;
    this.#u8 = new Uint8Array(memory.buffer);
    this.count = traffic.order.length;
    this.#next = this.count === 0 ? 0 : from % this.count;
  }

  write(at: number): number {
    const { bytes, ends, order } = this.#traffic;
    const packet = order[this.#next]!;
    if (++this.#next === this.count) this.#next = 0;
    const start = packet === 0 ? 0 : ends[packet - 1]!;
    const end = ends[packet]!;
    // Small packets are copied faster by hand than by a call.
    for (let i = start; i < end; i++) this.#u8[at + i - start] = bytes[i]!;
    return end - start;
  }
}
