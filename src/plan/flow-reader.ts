// The engine's own reading of a packet: which service it is for, and the hash that its lookup table is asked with.

import * as L from "../../assembly/layout.ts";
import type { Config } from "../config/schema.ts";
import { type Service, serviceOfPort } from "../config/services.ts";
import type { Arena } from "../dataplane/arena.ts";
import { Engine } from "../dataplane/engine.ts";

/** Digits of π: keys only tell flows apart here, and must be the same on every run. */
const SECRET = [0x243f6a8885a308d3n, 0x13198a2e03707344n, 0xa4093822299f31d0n, 0x082efa98ec4e6c89n];

/** A TCP or UDP flow of a VIP. */
export interface Flow {
  service: Service;
  /** Tells it from every other flow (assembly/hash.ts). */
  key: bigint;
  /** 32 bits: what the lookup table's slot follows from. */
  hash: number;
}

/** What a machine needs for reading alone: its services and its seed, and of everything else as little as there can be. */
function least(config: Config): Config {
  const pools: Config["pools"] = {};
  for (const [name, pool] of Object.entries(config.pools))
    pools[name] = { ...pool, tableSize: 2, backends: [] };
  return {
    ...config,
    pools,
    conntrack: { ...config.conntrack, flows: 1 },
    frames: { ...config.frames, count: 64 },
  };
}

const swap = (word: number) => ((word & 0xff) << 8) | (word >>> 8);

export class FlowReader {
  readonly arena: Arena;
  /** Arena address that a packet is to be written to, a multiple of 4. */
  readonly start: number;
  /** Most bytes of a packet: what a frame of the configuration holds. */
  readonly capacity: number;
  readonly #engine: Engine;

  constructor(config: Config) {
    this.#engine = new Engine(least(config), { queues: 1, workers: 1 }, SECRET);
    this.arena = this.#engine.arena;
    this.start = this.arena.plan.regions.frames.offset + L.HEADROOM;
    this.capacity = this.arena.plan.frameBytes - L.HEADROOM;
  }

  /** The flow of the packet that lies at `start`; undefined for what is no flow of a VIP. */
  read(length: number): Flow | undefined {
    const at = this.#engine.exports.flowOf(this.start, length);
    if (at === 0) return undefined;
    const { u16, u32, u64 } = this.arena;
    const port = swap(u16[(at + L.PACKET_PORTS) / 2 + 1]!);
    return {
      service: serviceOfPort(this.#engine.directory.services, u16[(at + L.PACKET_SERVICE) / 2]!, port)!,
      key: u64[(at + L.PACKET_KEY) / 8]!,
      hash: u32[(at + L.PACKET_HASH) / 4]!,
    };
  }
}
