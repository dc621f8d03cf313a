// An engine with a queue in memory whose other end sends single packets of one flow and waits for each.

import { parseConfig } from "../../src/config/load.ts";
import { Engine } from "../../src/dataplane/engine.ts";
import type { WorkerStatistics } from "../../src/dataplane/statistics.ts";
import { GuidewayError } from "../../src/errors.ts";
import { FlowTemplate } from "../../src/io/flow-template.ts";
import { MemoryQueue } from "../../src/io/memory-queue.ts";
import { macBytes } from "../../src/mac.ts";

const VIP = { address: "10.99.0.1", protocol: "tcp", port: 80 } as const;
const BACKEND = { address: "10.0.0.21", mac: "02:00:00:00:00:21" };
const PACKET_BYTES = 64;
const MTU = 1500;
const SECRET = [1n, 2n, 3n, 4n];
/** A packet that has not left by then is lost. */
const LOST_MS = 5000;

export class LatencyBed {
  readonly engine: Engine;
  readonly #queue: MemoryQueue;
  readonly #template: FlowTemplate;
  #sent = 0;

  constructor(workers: number) {
    const document = {
      conntrack: { flows: 1 },
      pools: { web: { tableSize: 251, backends: [BACKEND] } },
      vips: [{ name: "web", ...VIP, pool: "web", forward: "l2" }],
    };
    const { config } = parseConfig(JSON.stringify(document), "bench");
    this.engine = new Engine(config, { queues: 1, workers }, SECRET);
    const { directory } = this.engine;
    const mac = macBytes(config.machine.mac);
    directory.setInterface(0, { mac, mtu: MTU });
    directory.setNextHop(directory.backendsOf("web")[0]!.id, { mac: macBytes(BACKEND.mac), interface: 0 });
    this.#queue = new MemoryQueue(this.engine, 0);
    this.#template = new FlowTemplate(VIP, mac, PACKET_BYTES);
    this.engine.offerFrames();
  }

  workers(): WorkerStatistics[] {
    return this.engine.statistics.workers();
  }

  /**
   * Sends a packet to worker 0. @param wake tells it, if it sleeps
   * @returns microseconds until it left
   * @throws GuidewayError BENCH when it does not
   */
  send(wake: () => void): number {
    const { arena, wiring } = this.engine;
    const { tx } = wiring.ports[0]!;
    const frame = this.#queue.takeFrame();
    if (frame === undefined) throw new GuidewayError("BENCH", "there is no frame for a packet");
    this.#template.write(arena.u32, arena.u16, this.#queue.address(frame), 0, this.#sent === 0);
    const producer = arena.word(tx.producer);
    const from = performance.now();
    this.#queue.deliver(0, frame, PACKET_BYTES);
    wake();
    while (arena.word(tx.producer) === producer) {
      if (performance.now() - from > LOST_MS) throw new GuidewayError("BENCH", "a packet was lost");
    }
    const took = performance.now() - from;
    this.#sent++;
    this.#queue.collect(0, () => {});
    return took * 1000;
  }

  /** @throws GuidewayError BENCH when packets were something else than one flow's */
  check(): void {
    const reasons = this.engine.statistics.reasons();
    if (reasons.new === 1 && reasons.hit === this.#sent - 1) return;
    throw new GuidewayError("BENCH", `${this.#sent} packets of one flow were ${JSON.stringify(reasons)}`);
  }
}
