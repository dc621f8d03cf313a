// The demo without root: generated packets through the real engine and its worker pool, in memory.

import { setImmediate as yieldToOthers } from "node:timers/promises";
import { stringify } from "yaml";
import { parseConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { Engine } from "../dataplane/engine.ts";
import { workerCount } from "../dataplane/plan.ts";
import { WorkerPool } from "../dataplane/pool.ts";
import { Statistics } from "../dataplane/statistics.ts";
import { Generator } from "../io/generator.ts";
import { OFFLINE_SECRET, offlineMac } from "../io/offline.ts";
import { macBytes } from "../mac.ts";
import { type DemoState, type DemoStep, describeChange, packetsOf, script } from "./state.ts";

const POOL = "web";
const VIP = "10.99.0.1";
const BACKENDS = 4;
const FLOWS = 10_000;
/** Part of the packets that open a new flow. */
const CHURN = 0.01;
/** Packets on their way at most: they fit into any one TX ring, so that none is dropped for want of room. */
const OUTSTANDING = 1536;
const TICK_MS = 500;
const MTU = 1500;
/** Of so many packets that come back, one is looked at. */
const LOOK_AT = 64;

function configuration(): Config {
  const backends = Array.from({ length: BACKENDS }, (_, i) => ({
    name: `be${i + 1}`,
    address: `10.0.0.${21 + i}`,
  }));
  const text = stringify({
    conntrack: { flows: 65536 },
    pools: { [POOL]: { backends } },
    vips: [{ name: "web", address: VIP, port: 80, pool: POOL }],
  });
  return parseConfig(text, "demo").config;
}

export class MemoryDemo {
  readonly #engine: Engine;
  readonly #statistics: Statistics;
  readonly #generator: Generator;
  readonly #pool: WorkerPool;
  readonly #events: string[] = [];
  readonly #startedMs = performance.now();
  #sent = 0;
  #outstanding = 0;
  #wrong = 0;
  #last: DemoState | undefined;
  #lastMs = this.#startedMs;
  #busyNs: number[] = [];

  constructor() {
    const config = configuration();
    // One core is left for the generator.
    const workers = Math.max(1, workerCount(config) - 1);
    this.#engine = new Engine(config, { queues: 1, workers }, OFFLINE_SECRET);
    this.#generator = new Generator(this.#engine, {
      services: [{ address: VIP, protocol: "tcp", port: 80 }],
      flows: FLOWS,
      churn: CHURN,
    });
    const { directory } = this.#engine;
    directory.setInterface(0, { mac: macBytes(config.machine.mac), mtu: MTU });
    for (const { id, config } of directory.backendsOf(POOL)) {
      directory.setNextHop(id, { mac: offlineMac(config.address), interface: 0 });
    }
    this.#statistics = new Statistics(this.#engine.arena);
    this.#engine.offerFrames();
    this.#pool = new WorkerPool(this.#engine);
  }

  /** Makes traffic, and a new state every half second, until the signal. */
  async *watch(signal: AbortSignal, forSeconds: number | undefined): AsyncGenerator<DemoState> {
    const steps = script("be2", forSeconds);
    while (!signal.aborted) {
      const until = performance.now() + TICK_MS;
      while (performance.now() < until && !signal.aborted) {
        this.#round();
        await yieldToOthers();
      }
      if (steps[0] && this.#seconds >= steps[0].atSeconds) this.#play(steps.shift()!);
      yield this.#state();
    }
  }

  get #seconds(): number {
    return (performance.now() - this.#startedMs) / 1000;
  }

  #round(): void {
    const sent = this.#generator.offer(OUTSTANDING - this.#outstanding);
    this.#sent += sent;
    this.#outstanding += sent;
    for (let worker = 0; worker < this.#engine.workers; worker++) this.#pool.wake(worker);
    this.#collect();
  }

  /** Takes packets back and looks whether they are addressed to a backend: 02:00 and its IPv4 address. */
  #collect(): void {
    const { u8 } = this.#engine.arena;
    let n = 0;
    this.#outstanding -= this.#generator.collect((start) => {
      if (n++ % LOOK_AT !== 0) return;
      const host = u8[start + 5]!;
      if (u8[start] !== 2 || u8[start + 2] !== 10 || host < 21 || host >= 21 + BACKENDS) this.#wrong++;
    });
  }

  #play(step: DemoStep): void {
    const { directory } = this.#engine;
    const names = () => Array.from(directory.buildTable(POOL), (id) => directory.backends[id]!.config.name);
    const backend = directory.backendsOf(POOL).find(({ config }) => config.name === step.backend)!;
    const before = names();
    directory.setBackendState(backend.id, step.state);
    this.#events.push(`${this.#seconds.toFixed(0)}s: ${describeChange(step, before, names())}`);
  }

  #state(): DemoState {
    const now = performance.now();
    const seconds = (now - this.#lastMs) / 1000;
    const last = this.#last;
    const reasons = this.#statistics.reasons();
    const packets = packetsOf(reasons);
    const workers = this.#statistics.workers();
    const perSecond = (packets.forwarded - (last?.packets.forwarded ?? 0)) / seconds;
    const state: DemoState = {
      mode: "memory",
      seconds: this.#seconds,
      requests: { total: this.#sent, failed: packets.dropped + packets.passed + this.#wrong, perSecond },
      packets: { ...packets, perSecond },
      backends: this.#engine.directory.backendsOf(POOL).map(({ id, state, config }, i) => {
        const requests = this.#statistics.backend(id).packets;
        return {
          name: config.name,
          state,
          requests,
          perSecond: (requests - (last?.backends[i]?.requests ?? 0)) / seconds,
        };
      }),
      reasons,
      workers: workers.map(({ packets, busyNs }, i) => ({
        packets,
        nsPerPacket: packets === 0 ? 0 : busyNs / packets,
        load: (busyNs - (this.#busyNs[i] ?? 0)) / (seconds * 1e9),
      })),
      connections: { open: 0, lost: 0, moved: 0 },
      events: this.#events,
    };
    this.#busyNs = workers.map(({ busyNs }) => busyNs);
    this.#last = state;
    this.#lastMs = now;
    return state;
  }

  /** Lets the workers finish. */
  async stop(): Promise<DemoState> {
    await this.#pool.stop();
    this.#collect();
    return this.#state();
  }
}
