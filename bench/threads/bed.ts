// An engine whose workers are fed by their own threads: each has a queue of its own in memory, and packets that were made
// before, of flows whose shards it owns. The packets lie in frames that are never offered.

import * as L from "../../assembly/layout.ts";
import type { Config } from "../../src/config/schema.ts";
import { Engine } from "../../src/dataplane/engine.ts";
import { GuidewayError } from "../../src/errors.ts";
import { FlowTemplate } from "../../src/io/flow-template.ts";
import { MemoryQueue } from "../../src/io/memory-queue.ts";
import { Shuffle } from "../../src/io/shuffle.ts";
import { macBytes } from "../../src/mac.ts";
import { adviseHugePages } from "../../src/measure/huge-pages.ts";
import { configOf, type Scenario, servicesOf } from "../engine/scenario.ts";

/** Packets made for each worker, each of a flow of its own; a power of two. */
const PACKETS = 1 << 14;
/** Bytes from packet to packet, and of each (bench/assembly/kernel.ts). */
const PACKET_BYTES = 64;
/** Frames in use, per worker: two rings' worth and what a worker has in hand. */
const FRAMES = 4608;
const CONNTRACK_FLOWS = 1 << 20;
const MTU = 1500;
const SECRET = [0x452821e638d01377n, 0xbe5466cf34e90c6cn, 0xc0ac29b7c97c50ddn, 0x3f84d5b5b5470917n];
const SCENARIO: Scenario = {
  name: "threads",
  family: "ipv4",
  mode: "l2",
  opens: false,
  flows: CONNTRACK_FLOWS,
  vips: "one",
};

/** Addresses of the descriptions of a worker's rings, for whoever plays the kernel. */
export interface KernelSide {
  fill: number;
  rx: number;
  tx: number;
  completion: number;
}

export interface ThreadBedOptions {
  workers: number;
  /** conntrack.newFlowsPerSecond; with a few, almost every packet is served by the lookup table. Default: any number. */
  newFlowsPerSecond?: number;
  /** Pools, each with a table of its own and a VIP that gets its part of the packets. Default 1. */
  pools?: number;
}

export class ThreadBed {
  readonly engine: Engine;
  readonly workers: number;

  constructor({ workers, newFlowsPerSecond = 0, pools = 1 }: ThreadBedOptions) {
    this.workers = workers;
    this.engine = new Engine(
      configure(workers, newFlowsPerSecond, pools),
      { queues: workers, workers },
      SECRET,
    );
    const { directory, arena, config } = this.engine;
    adviseHugePages(arena);
    directory.setInterface(0, { mac: macBytes(config.machine.mac), mtu: MTU });
    for (const backend of directory.backends) {
      if (backend) directory.setNextHop(backend.id, { mac: macBytes(backend.config.mac!), interface: 0 });
    }
    for (let queue = 0; queue < workers; queue++) new MemoryQueue(this.engine, 0);
    this.#offerFrames();
    this.#makePackets();
  }

  /** Those that are in use, in an order that no prefetcher guesses: see engine/bed.ts. */
  #offerFrames(): void {
    const { arena, wiring } = this.engine;
    const order = new Shuffle(FRAMES * this.workers);
    for (const { fill } of wiring.queues) {
      for (let i = 0; i < FRAMES; i++) {
        const at = fill.descriptors + i * L.FRAME_DESCRIPTOR_BYTES;
        arena.u64[at / 8] = BigInt(order.next() * arena.plan.frameBytes);
      }
      arena.setWord(fill.producer, FRAMES);
    }
  }

  /** Where the packets of a worker are, and their number less one. */
  packets(worker: number): { at: number; mask: number } {
    const { frameBytes, regions } = this.engine.arena.plan;
    const at = regions.frames.offset + this.workers * FRAMES * frameBytes + worker * PACKETS * PACKET_BYTES;
    return { at, mask: PACKETS - 1 };
  }

  #makePackets(): void {
    const { arena, exports, owners, config } = this.engine;
    const services = servicesOf({ ...SCENARIO, vips: "many" }).slice(0, config.vips.length);
    const templates = services.map(
      (service) => new FlowTemplate(service, macBytes(config.machine.mac), PACKET_BYTES),
    );
    const made = new Uint32Array(this.workers);
    let left = this.workers;
    for (let flow = 0; left > 0; flow++) {
      // Written where the next packet of some worker will be, and again where its own worker's is.
      const scratch = this.packets(made.findIndex((count) => count < PACKETS));
      const template = templates[flow % templates.length]!;
      const place = scratch.at + made.find((count) => count < PACKETS)! * PACKET_BYTES;
      template.write(arena.u32, arena.u16, place, flow, false);
      const steered = exports.steer(place, PACKET_BYTES);
      if (steered === 0) throw new GuidewayError("BENCH", "a packet is for no VIP");
      const worker = owners.map[steered & (L.SHARDS - 1)]!;
      if (made[worker] === PACKETS) continue;
      const own = this.packets(worker).at + made[worker]! * PACKET_BYTES;
      template.write(arena.u32, arena.u16, own, flow, false);
      made[worker]!++;
      if (made[worker] === PACKETS) left--;
    }
  }

  /** A worker's rings: of its own queue, and of the port by which it sends. */
  side(worker: number): KernelSide {
    const { arena, wiring } = this.engine;
    const block = arena.workerBlock(worker);
    const handoffs = wiring.handoffs.filter(({ to }) => to === worker).length;
    const own = wiring.ports
      .filter((port) => port.worker === worker)
      .findIndex(({ queue }) => queue === worker);
    const portAt = (index: number) => block + L.WORKER_PORTS + index * L.PORT_BYTES;
    const queue = arena.plan.regions.queues.offset + worker * L.QUEUE_BYTES;
    return {
      fill: queue + L.QUEUE_FILL,
      rx: portAt(handoffs + own) + L.PORT_RX,
      tx: portAt(arena.u8[block + L.WORKER_EGRESS]!) + L.PORT_TX,
      completion: queue + L.QUEUE_COMPLETION,
    };
  }
}

function configure(workers: number, newFlowsPerSecond: number, pools: number): Config {
  const config = configOf({ ...SCENARIO, vips: "one" });
  const frames = FRAMES + (PACKETS * PACKET_BYTES) / config.frames.size;
  const [pool] = Object.values(config.pools);
  const names = Array.from({ length: pools }, (_, i) => `pool${i}`);
  const services = servicesOf({ ...SCENARIO, vips: "many" });
  return {
    ...config,
    conntrack: { ...config.conntrack, newFlowsPerSecond },
    frames: { ...config.frames, count: workers * frames },
    pools: Object.fromEntries(names.map((name) => [name, pool!])),
    vips: names.map((name, i) => ({ ...config.vips[0]!, name, address: services[i]!.address, pool: name })),
  };
}
