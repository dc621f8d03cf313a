// Which worker owns which shard (assembly/owners.ts), as the controller writes it.

import { setTimeout as sleep } from "node:timers/promises";
import * as L from "../../assembly/layout.ts";
import { GuidewayError } from "../errors.ts";
import type { Arena } from "./arena.ts";

/** How long workers may take to go by other owners: one of them is stuck then. */
const WAIT_MS = 3000;
const STEP_MS = 1;

export class Owners {
  readonly #arena: Arena;

  /** Deals the shards out to the workers that run. */
  constructor(arena: Arena) {
    this.#arena = arena;
    this.#map(0).set(dealt(this.running));
  }

  /** How many workers there are that own shards: 0 up to this one. */
  get running(): number {
    return this.#arena.word(L.HEADER_RUNNING);
  }

  get #version(): number {
    return this.#arena.word(L.HEADER_OWNERS);
  }

  #map(version: number): Uint8Array {
    const at = L.HEADER_SHARD_OWNERS + (version & 1) * L.SHARDS;
    return this.#arena.u8.subarray(at, at + L.SHARDS);
  }

  /** Owners by shard: those in force. */
  get map(): Uint8Array {
    return this.#map(this.#version);
  }

  /**
   * Gives the shards to other workers, as few of them as an even deal takes; resolves when every worker goes by it. All of them
   * must be there, or parked. Calls must not overlap.
   * @throws GuidewayError WORKER when a worker does not go on
   */
  async deal(workers: number): Promise<void> {
    const next = dealt(workers, this.map);
    const version = (this.#version + 1) >>> 0;
    this.#map(version).set(next);
    this.#arena.setWord(L.HEADER_RUNNING, workers);
    this.#arena.setWord(L.HEADER_OWNERS, version);
    for (let waited = 0; !this.#followed(version); waited += STEP_MS) {
      if (waited >= WAIT_MS)
        throw new GuidewayError("WORKER", `a worker has not gone by its new shards for ${WAIT_MS} ms`);
      await sleep(STEP_MS);
    }
  }

  /** Whether no worker acts by older owners. */
  #followed(version: number): boolean {
    for (let worker = 0; worker < this.#arena.plan.shape.workers; worker++) {
      const block = this.#arena.workerBlock(worker);
      if (this.#arena.word(block + L.WORKER_EPOCH) === L.WORKER_OFFLINE) continue;
      if (this.#arena.word(block + L.WORKER_OWNERS) !== version) return false;
    }
    return true;
  }
}

/**
 * An even deal: no worker owns more than one shard more than another, and a shard stays where it is if it can.
 * @param before owners until now; without it shards go round: worker w owns w, w + workers, …
 */
export function dealt(workers: number, before?: Uint8Array): Uint8Array {
  if (!before) return Uint8Array.from({ length: L.SHARDS }, (_, shard) => shard % workers);
  const share = (worker: number) => Math.floor(L.SHARDS / workers) + Number(worker < L.SHARDS % workers);
  const room = Array.from({ length: workers }, (_, worker) => share(worker));
  const next = before.slice();
  const moved: number[] = [];
  for (const [shard, owner] of before.entries()) {
    if (owner < workers && room[owner]! > 0) room[owner]!--;
    else moved.push(shard);
  }
  for (const shard of moved) {
    const owner = room.findIndex((left) => left > 0);
    next[shard] = owner;
    room[owner]!--;
  }
  return next;
}
