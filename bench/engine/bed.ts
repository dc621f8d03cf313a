// A worker with everything that it has in the balancer but a NIC: the arena, its rings, the real data plane. The
// other ends of the rings are a generator's.
//
// A round: the generator fills the RX ring (not timed), the worker runs until it is empty (timed), the generator takes
// what is in TX and returns the frames (not timed). The frames are used in turn, all of them, in an order that was shuffled
// at the start, as it is after some hours of traffic: no prefetcher guesses where the next header is. Headers were
// written up to 2,048 packets ago by this processor, whose caches hold few of them, because frames are a power of
// two apart: most come from the third-level cache, where a NIC with DDIO leaves them.
//
// The engine's clock advances by the time that the worker ran, as if it had never waited: so the sweep's share of the work
// is that of a worker under full load.

import * as L from "../../assembly/layout.ts";
import { type DataplaneExports, instantiate, loadModule, noSockets } from "../../src/dataplane/binary.ts";
import { Engine } from "../../src/dataplane/engine.ts";
import { PACKET_RING_ENTRIES } from "../../src/dataplane/plan.ts";
import { Statistics } from "../../src/dataplane/statistics.ts";
import { Generator, type Look } from "../../src/io/generator.ts";
import { Shuffle } from "../../src/io/shuffle.ts";
import { macBytes } from "../../src/mac.ts";
import { adviseHugePages } from "../../src/measure/huge-pages.ts";
import { configOf, packetBytes, type Scenario, servicesOf } from "./scenario.ts";

/** Packets of a round: what the RX ring holds. */
export const ROUND = PACKET_RING_ENTRIES;
/** Batches of one call, as in src/dataplane/worker.ts. */
const PASSES = 16;
const SECRET = [0x452821e638d01377n, 0xbe5466cf34e90c6cn, 0xc0ac29b7c97c50ddn, 0x3f84d5b5b5470917n];
const MTU = 1500;
/** Times that a table's ways are filled over before all of its packets evict. */
const OVERFILL = 3;

export class Bed {
  readonly scenario: Scenario;
  readonly engine: Engine;
  /** Whether the kernel was asked for huge pages. */
  readonly hugePages: boolean;
  readonly #worker: DataplaneExports;
  readonly #generator: Generator;
  readonly #statistics: Statistics;
  #clockMs = 16;

  constructor(scenario: Scenario) {
    this.scenario = scenario;
    this.engine = new Engine(configOf(scenario), { queues: 1, workers: 1 }, SECRET);
    const { directory, arena, config } = this.engine;
    this.hugePages = adviseHugePages(arena);
    directory.setInterface(0, { mac: macBytes(config.machine.mac), mtu: MTU });
    for (const backend of directory.backends) {
      if (backend) directory.setNextHop(backend.id, { mac: macBytes(backend.config.mac!), interface: 0 });
    }
    this.#generator = new Generator(this.engine, {
      services: servicesOf(scenario),
      flows: scenario.flows,
      packetBytes: packetBytes(scenario),
    });
    this.engine.offerFrames();
    this.#shuffleFrames();
    this.#worker = instantiate(loadModule("#dataplane.wasm"), arena.memory, noSockets);
    this.#worker.attach(0);
    this.#statistics = new Statistics(arena);
  }

  #shuffleFrames(): void {
    const { arena, wiring } = this.engine;
    const { descriptors } = wiring.queues[0]!.fill;
    const { frameCount, frameBytes } = arena.plan;
    const order = new Shuffle(frameCount);
    for (let i = 0; i < frameCount; i++) {
      arena.u32[(descriptors + i * L.FRAME_DESCRIPTOR_BYTES) / 4] = order.next() * frameBytes;
    }
  }

  /** Enters the flows; where every packet is to open one, so many that the table is full. */
  fill(): void {
    const { scenario, engine } = this;
    const ways = L.SHARDS * engine.arena.plan.shardLines * L.WAYS;
    const flows = scenario.opens ? OVERFILL * ways : scenario.flows;
    for (let left = flows; left > 0; left -= ROUND) this.#pass(this.#generator.open(Math.min(left, ROUND)));
    // The second packet of a flow makes it established.
    if (!scenario.opens) for (let left = flows; left > 0; left -= ROUND) this.round();
  }

  /** @returns nanoseconds per packet. @param look is shown what was sent */
  round(look?: Look): number {
    const { scenario } = this;
    const packets = scenario.opens ? this.#generator.open(ROUND) : this.#generator.offer(ROUND);
    return this.#pass(packets, look) / packets;
  }

  #pass(packets: number, look?: Look): number {
    const clockMs = this.#clockMs;
    const before = performance.now();
    for (let left = packets; left > 0; ) left -= this.#worker.run(clockMs, PASSES);
    const tookMs = performance.now() - before;
    this.#clockMs += tookMs;
    this.#generator.collect(look);
    return tookMs * 1e6;
  }

  /** Packets by reason since the start. */
  reasons(): Record<string, number> {
    return this.#statistics.reasons();
  }
}
