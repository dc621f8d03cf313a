// Flows that a plan is tried out on: those of a capture, or generated ones. Of each only its service and its hash
// are kept.

import type { Config } from "../config/schema.ts";
import { expandServices, PROTOCOL_TCP } from "../config/services.ts";
import { FlowTemplate, MAX_FLOWS, smallestPacket } from "../io/flow-template.ts";
import { macBytes } from "../mac.ts";
import { FlowReader } from "./flow-reader.ts";

/** Hashes of a service's flows, under the seeds of both configurations: flow i has hash i of each. */
export interface FlowHashes {
  before: number[];
  after: number[];
}

const NONE: FlowHashes = { before: [], after: [] };

/** Generated flows of a VIP, and of all of them. */
const FLOWS_PER_VIP = 100_000;
const FLOWS = 1_000_000;
/** Step from one generated flow to the next, which changes address and port: a prime that does not divide MAX_FLOWS. */
const STRIDE = 1_000_003;

export class FlowSample {
  /** What it is, for people: a file, or "generated". */
  readonly source: string;
  /** Distinct flows. */
  flows = 0;
  readonly #reader: FlowReader;
  /** The same services under the other seed; undefined where it is the same one. */
  readonly #other: FlowReader | undefined;
  readonly #keys = new Set<bigint>();
  /** By number of the service. */
  readonly #services = new Map<number, FlowHashes>();

  /** An empty sample of flows to the VIPs of `before`. */
  constructor(before: Config, after: Config, source: string) {
    this.source = source;
    this.#reader = new FlowReader(before);
    if (before.hash.seed !== after.hash.seed) this.#other = new FlowReader({ ...before, hash: after.hash });
  }

  /** Enters the flow of an Ethernet frame, unless it is there or is no flow of a VIP. */
  add(packet: Uint8Array): void {
    if (packet.length > this.#reader.capacity) return;
    this.#reader.arena.u8.set(packet, this.#reader.start);
    this.#enter(packet.length);
  }

  /** Enters a packet that was written for the reader. */
  #enter(length: number): void {
    const flow = this.#reader.read(length);
    if (flow === undefined || this.#keys.has(flow.key)) return;
    this.#keys.add(flow.key);
    this.flows++;
    let hashes = this.#services.get(flow.service);
    if (!hashes) {
      hashes = { before: [], after: this.#other ? [] : NONE.after };
      if (!this.#other) hashes.after = hashes.before;
      this.#services.set(flow.service, hashes);
    }
    hashes.before.push(flow.hash);
    if (this.#other) hashes.after.push(this.#otherHash(length));
  }

  #otherHash(length: number): number {
    const { arena, start } = this.#reader;
    this.#other!.arena.u8.set(arena.u8.subarray(start, start + length), this.#other!.start);
    return this.#other!.read(length)!.hash;
  }

  /** Hashes of the flows to a service of the configuration before the change. */
  of(service: number): FlowHashes {
    return this.#services.get(service) ?? NONE;
  }

  /** Flows to every VIP of `before`, evenly over its services: the same ones every time. */
  static generate(before: Config, after: Config): FlowSample {
    const sample = new FlowSample(before, after, "generated");
    const { arena, start } = sample.#reader;
    const mac = macBytes(before.machine.mac);
    const services = expandServices(before).filter(({ port }) => port !== 0);
    const perVip = Math.min(FLOWS_PER_VIP, Math.ceil(FLOWS / Math.max(1, before.vips.length)));
    for (const ofVip of Map.groupBy(services, ({ vipIndex }) => vipIndex).values()) {
      const templates = ofVip.map(({ address, protocol, port }) => {
        const service = { address, port, protocol: protocol === PROTOCOL_TCP ? "tcp" : "udp" } as const;
        return new FlowTemplate(service, mac, smallestPacket(service));
      });
      for (let i = 0; i < perVip; i++) {
        const template = templates[i % templates.length]!;
        template.write(arena.u32, arena.u16, start, (i * STRIDE) % MAX_FLOWS, true);
        sample.#enter(template.bytes.length);
      }
    }
    return sample;
  }
}
