// The engine without its traffic: the arena, what is published in it, and the rings that lead in and out.
// Ports (src/io) bring packets; the pool (pool.ts) or a test runs the workers.

import * as L from "../../assembly/layout.ts";
import { addressBytes } from "../config/address.ts";
import type { Config } from "../config/schema.ts";
import { Arena } from "./arena.ts";
import { type DataplaneExports, instantiate, loadModule, noSockets } from "./binary.ts";
import { Directory } from "./directory.ts";
import { TableHeap } from "./heap.ts";
import { Owners } from "./owners.ts";
import { planArena, type Shape } from "./plan.ts";
import { Publication } from "./publication.ts";
import { RingAllocator } from "./rings.ts";
import { Routes } from "./routes.ts";
import { Statistics } from "./statistics.ts";
import { firstOfItsKind } from "./succession.ts";
import { type QueueRings, Wiring } from "./wiring.ts";

export class Engine {
  readonly config: Config;
  readonly secret: readonly bigint[];
  readonly arena: Arena;
  readonly heap: TableHeap;
  readonly publication: Publication;
  readonly statistics: Statistics;
  readonly directory: Directory;
  /** The way to clients, for answers that pass through. */
  readonly routes: Routes;
  readonly wiring: Wiring;
  readonly rings: RingAllocator;
  readonly owners: Owners;
  /** The controller's own instance of the data plane: it steers and hashes, it forwards nothing. */
  readonly exports: DataplaneExports;

  /** Milliseconds since 1970 at the zero of the workers' clock. */
  readonly epochMs: number;

  /**
   * @param secret four 64-bit words keying the connection table
   * @param succession what is handed on from one process to the next; by default nothing is
   */
  constructor(config: Config, shape: Shape, secret: readonly bigint[], succession = firstOfItsKind()) {
    this.config = config;
    this.epochMs = succession.epochMs;
    this.secret = secret;
    const { address, address6 } = config.machine;
    this.arena = new Arena(planArena(config, shape), {
      secret,
      seed: config.hash.seed,
      timeouts: config.conntrack.timeouts,
      newFlowsPerSecond: config.conntrack.newFlowsPerSecond,
      icmpErrorsPerSecond: config.icmp.errorsPerSecond,
      ...(address && { sourceV4: addressBytes(address) }),
      ...(address6 && { sourceV6: addressBytes(address6) }),
    });
    this.exports = instantiate(loadModule("#dataplane.wasm"), this.arena.memory, noSockets);
    this.heap = new TableHeap(this.arena.plan.regions.tables);
    this.publication = new Publication(this.arena, this.heap);
    this.statistics = new Statistics(this.arena);
    this.directory = new Directory(this, succession);
    this.routes = new Routes(this.arena, this.publication, this.directory.published, this.exports);
    this.wiring = new Wiring(this.arena);
    this.rings = new RingAllocator(this.arena);
    this.owners = new Owners(this.arena);
    this.exports.attach(this.workers);
    this.#connectWorkers();
    this.directory.apply(config);
  }

  /** Most workers that there may be; `owners.running` of them are there. */
  get workers(): number {
    return this.arena.plan.shape.workers;
  }

  #connectWorkers(): void {
    for (let from = 0; from < this.workers; from++) {
      for (let to = 0; to < this.workers; to++) {
        if (from !== to) this.wiring.addHandoff(from, to, this.rings.take(this.arena.plan.handoffRingBytes));
      }
    }
  }

  /**
   * Gives workers the frames that they keep, and offers all others to the queues' FILL rings, evenly; to queues with a limit,
   * no more than that. Once, after the queues are there and before traffic.
   */
  offerFrames(): void {
    const { frameCount, frameBytes } = this.arena.plan;
    const { queues } = this.wiring;
    let frame = 0;
    const offer = ({ fill }: QueueRings) => {
      const producer = this.arena.word(fill.producer);
      this.arena.u64[(fill.descriptors + (producer & fill.mask) * L.FRAME_DESCRIPTOR_BYTES) / 8] = BigInt(
        frame * frameBytes,
      );
      this.arena.setWord(fill.producer, producer + 1);
      frame++;
    };
    for (let worker = 0; worker < this.owners.running; worker++) {
      const { freeListBytes, regions } = this.arena.plan;
      const list = (regions.freeLists.offset + worker * freeListBytes) / 4;
      const kept = this.arena.word(L.HEADER_RESERVE);
      for (let i = 0; i < kept; i++) this.arena.u32[list + i] = frame++ * frameBytes;
      this.arena.setWord(this.arena.workerBlock(worker) + L.WORKER_FREE_COUNT, kept);
    }
    const shared = queues.filter(({ limit }) => limit === 0);
    for (const queue of queues) {
      for (let i = 0; i < queue.limit && frame < frameCount - shared.length; i++) offer(queue);
    }
    while (frame < frameCount) offer(shared[frame % shared.length]!);
  }
}
