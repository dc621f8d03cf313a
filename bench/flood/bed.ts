// A worker under a flood: established flows that go on sending by one queue, SYN packets of ever new flows by another, as two
// clients of a switch would. Every packet of an established flow that leaves is looked at.

import { type DataplaneExports, instantiate, loadModule, noSockets } from "../../src/dataplane/binary.ts";
import { Engine } from "../../src/dataplane/engine.ts";
import { FlowTemplate, type Service } from "../../src/io/flow-template.ts";
import { Generator } from "../../src/io/generator.ts";
import { macBytes } from "../../src/mac.ts";
import { adviseHugePages } from "../../src/measure/huge-pages.ts";
import { configOf, packetBytes, type Scenario, servicesOf } from "../engine/scenario.ts";

const SECRET = [0x2ffd72dbd01adfb7n, 0xb8e1afed6a267e96n, 0xba7c9045f12c7f99n, 0x24a19947b3916cf7n];
const MTU = 1500;
/** Batches of one call, as in src/dataplane/worker.ts. */
const PASSES = 16;
/** Packets of a round: established flows send an eighth of them. */
const FLOOD_PACKETS = 1792;
const ESTABLISHED_PACKETS = 256;
/** Number of the flood's first flow: none of it is an established one. */
const FIRST_FLOOD_FLOW = 1 << 24;

export interface Loss {
  sent: number;
  lost: number;
  /** Flows that had a packet at another backend than before. */
  moved: number;
}

export class FloodBed {
  readonly engine: Engine;
  readonly #worker: DataplaneExports;
  readonly #clients: Generator;
  readonly #flood: Generator;
  readonly #template: FlowTemplate;
  /** By flow: the backend's MAC address as a number, and packets that arrived there. */
  readonly #backends: Float64Array;
  readonly #moved = new Set<number>();
  #sent = 0;
  #arrived = 0;
  #clockMs = 16;
  /** Packets of the flood so far, and the time that the worker took for all packets, nanoseconds. */
  flooded = 0;
  busyNs = 0;

  constructor(flows: number, scenario: Scenario, newFlowsPerSecond: number) {
    const config = configOf(scenario);
    const service: Service = servicesOf(scenario)[0]!;
    this.engine = new Engine(
      { ...config, conntrack: { ...config.conntrack, newFlowsPerSecond } },
      { queues: 2, workers: 1 },
      SECRET,
    );
    const { directory, arena } = this.engine;
    adviseHugePages(arena);
    const mac = macBytes(config.machine.mac);
    directory.setInterface(0, { mac, mtu: MTU });
    for (const backend of directory.backends) {
      if (backend) directory.setNextHop(backend.id, { mac: macBytes(backend.config.mac!), interface: 0 });
    }
    const traffic = { services: [service], packetBytes: packetBytes(scenario) };
    this.#clients = new Generator(this.engine, { ...traffic, flows });
    this.#flood = new Generator(this.engine, { ...traffic, flows: 1, firstFlow: FIRST_FLOOD_FLOW });
    this.engine.offerFrames();
    this.#worker = instantiate(loadModule("#dataplane.wasm"), arena.memory, noSockets);
    this.#worker.attach(0);
    this.#template = new FlowTemplate(service, mac, packetBytes(scenario));
    this.#backends = new Float64Array(flows);
    for (let left = flows; left > 0; left -= ESTABLISHED_PACKETS) {
      this.#sent += this.#clients.open(Math.min(left, ESTABLISHED_PACKETS));
      this.#run();
    }
    // The second packet of a flow makes it established.
    for (let left = flows; left > 0; left -= ESTABLISHED_PACKETS)
      this.#quiet(Math.min(left, ESTABLISHED_PACKETS));
  }

  #quiet(packets: number): void {
    this.#sent += this.#clients.offer(packets);
    this.#run();
  }

  /** Packets of both kinds, up to `most` of the flood. */
  round(most: number): void {
    this.flooded += this.#flood.open(Math.min(FLOOD_PACKETS, most));
    this.#quiet(ESTABLISHED_PACKETS);
  }

  #run(): void {
    const before = performance.now();
    while (this.#worker.run(this.#clockMs, PASSES) !== 0);
    const tookMs = performance.now() - before;
    this.busyNs += tookMs * 1e6;
    this.#clockMs += tookMs;
    const { u8 } = this.engine.arena;
    this.#clients.collect((start, length) => this.#arrive(u8.subarray(start, start + length)));
    this.#flood.collect();
  }

  #arrive(packet: Uint8Array): void {
    const flow = this.#template.flowOf(packet);
    const backend = packet.subarray(0, 6).reduce((number, byte) => number * 256 + byte, 0);
    if (this.#backends[flow] === 0) this.#backends[flow] = backend;
    else if (this.#backends[flow] !== backend) this.#moved.add(flow);
    this.#arrived++;
  }

  /** What became of the established flows' packets. */
  loss(): Loss {
    return { sent: this.#sent, lost: this.#sent - this.#arrived, moved: this.#moved.size };
  }
}
