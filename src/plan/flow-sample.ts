// Flows that a plan is tried out on: those of a capture, or generated ones. Of each only its hash is kept, with its service
// before and the pool that it leads to afterwards.

import { differs } from "../config/diff.ts";
import { samplePorts } from "../config/ports.ts";
import { sampleAddresses } from "../config/prefix.ts";
import type { Config } from "../config/schema.ts";
import {
  expandServices,
  isAddressService,
  isWildcard,
  PROTOCOL_TCP,
  type Service,
  serviceName,
} from "../config/services.ts";
import { type Service as Destination, FlowTemplate, MAX_FLOWS, smallestPacket } from "../io/flow-template.ts";
import { macBytes } from "../mac.ts";
import { type Flow, FlowReader } from "./flow-reader.ts";

/** Hashes of flows that go from one service to one pool, under the seeds of both configurations: flow i has hash i of each. */
export interface FlowHashes {
  before: number[];
  /** The same list where the seeds are the same. */
  after: number[];
}

/** Generated flows of a VIP, and of all of them. */
const FLOWS_PER_VIP = 100_000;
const FLOWS = 1_000_000;
/** Step from one generated flow to the next, which changes address and port: a prime that does not divide MAX_FLOWS. */
const STRIDE = 1_000_003;
/** Addresses and ports of a service that has more of them. */
const DESTINATIONS_PER_WILDCARD = 16;

export class FlowSample {
  /** What it is, for people: a file, or "generated". */
  readonly source: string;
  /** Distinct flows. */
  flows = 0;
  readonly #reader: FlowReader;
  /** Reads what the configuration after makes of a packet; undefined where that is the same. */
  readonly #next: FlowReader | undefined;
  readonly #nextVips: Config["vips"];
  readonly #sameSeed: boolean;
  readonly #keys = new Set<bigint>();
  /** By name of the service before and pool after, which is undefined for flows that lead nowhere any more. */
  readonly #services = new Map<string, Map<string | undefined, FlowHashes>>();

  /** An empty sample of flows to the VIPs of `before`. */
  constructor(before: Config, after: Config, source: string) {
    this.source = source;
    this.#reader = new FlowReader(before);
    this.#nextVips = after.vips;
    this.#sameSeed = before.hash.seed === after.hash.seed;
    if (!this.#sameSeed || differs(before.vips, after.vips)) this.#next = new FlowReader(after);
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
    const after = this.#next ? this.#readNext(this.#next, length) : flow;
    const pool = after && this.#nextVips[after.service.vipIndex]!.pool;
    const hashes = this.#hashesOf(serviceName(flow.service), pool);
    hashes.before.push(flow.hash);
    // What leads nowhere is asked for no slot.
    if (!this.#sameSeed) hashes.after.push(after?.hash ?? 0);
  }

  #readNext(next: FlowReader, length: number): Flow | undefined {
    const { arena, start } = this.#reader;
    next.arena.u8.set(arena.u8.subarray(start, start + length), next.start);
    return next.read(length);
  }

  #hashesOf(service: string, pool: string | undefined): FlowHashes {
    const pools = this.#services.get(service) ?? new Map<string | undefined, FlowHashes>();
    this.#services.set(service, pools);
    const known = pools.get(pool);
    if (known) return known;
    const before: number[] = [];
    const hashes = { before, after: this.#sameSeed ? before : [] };
    pools.set(pool, hashes);
    return hashes;
  }

  /** Hashes of the flows to a service of the configuration before the change, by the pool that they lead to afterwards. */
  of(service: Service): ReadonlyMap<string | undefined, FlowHashes> {
    return this.#services.get(serviceName(service)) ?? new Map();
  }

  /** Flows to every VIP of `before`, evenly over its services: the same ones every time. */
  static generate(before: Config, after: Config): FlowSample {
    const sample = new FlowSample(before, after, "generated");
    const { arena, start } = sample.#reader;
    const mac = macBytes(before.machine.mac);
    const services = expandServices(before).filter((service) => !isAddressService(service));
    const perVip = Math.min(FLOWS_PER_VIP, Math.ceil(FLOWS / Math.max(1, before.vips.length)));
    for (const ofVip of Map.groupBy(services, ({ vipIndex }) => vipIndex).values()) {
      const templates = ofVip
        .flatMap(destinationsOf)
        .map((service) => new FlowTemplate(service, mac, smallestPacket(service)));
      for (let i = 0; i < perVip; i++) {
        const template = templates[i % templates.length]!;
        template.write(arena.u32, arena.u16, start, (i * STRIDE) % MAX_FLOWS, true);
        sample.#enter(template.bytes.length);
      }
    }
    return sample;
  }
}

/** The address and port of a service, or some out of many. */
export function destinationsOf(service: Service): Destination[] {
  const count = isWildcard(service) ? DESTINATIONS_PER_WILDCARD : 1;
  const ports = samplePorts(service.port, count);
  const protocol = service.protocol === PROTOCOL_TCP ? "tcp" : "udp";
  return sampleAddresses(service.address, count).map((address, i) => ({
    address,
    protocol,
    port: ports[i]!,
  }));
}
