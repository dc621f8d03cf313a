// The backends' records in the arena (BACKEND_* of layout.ts), and what should be in them: nobody else writes there.

import * as L from "../../assembly/layout.ts";
import { addressBytes, addressFamily } from "../config/address.ts";
import type { Arena } from "./arena.ts";

export type BackendState = "active" | "draining" | "dead";

const STATES: Record<BackendState, number> = {
  active: L.BACKEND_STATE_ACTIVE,
  draining: L.BACKEND_STATE_DRAINING,
  dead: L.BACKEND_STATE_DEAD,
};

/** Where frames for a backend go next. */
export interface NextHop {
  /** Six bytes. */
  mac: Uint8Array;
  /** Index of the interface record. */
  interface: number;
}

/** A MAC address and an interface as BACKEND_NEXT_HOP holds them. */
export function nextHopWord({ mac, interface: index }: NextHop): bigint {
  const bytes = mac.reduceRight((word, byte) => (word << 8n) | BigInt(byte), 0n);
  return bytes | (BigInt(index) << 48n) | (1n << 56n);
}

export class BackendRecords {
  readonly #arena: Arena;
  /** The records as they should be, one after the other. */
  readonly #image: Uint8Array;
  readonly #view: DataView;
  readonly #nextHops = new Map<number, NextHop>();

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#image = new Uint8Array(arena.plan.regions.backends.bytes);
    this.#view = new DataView(this.#image.buffer);
  }

  /** Address of a backend's record. */
  at(id: number): number {
    return this.#arena.plan.regions.backends.offset + id * L.BACKEND_BYTES;
  }

  /** Begins a record; its next hop is not known yet. */
  write(
    id: number,
    { address, port }: { address: string; port?: number | undefined },
    state: BackendState,
  ): void {
    const own = this.#own(id);
    this.#nextHops.delete(id);
    own.fill(0);
    own.set(addressBytes(address), L.BACKEND_ADDRESS);
    this.#view.setUint16(id * L.BACKEND_BYTES + L.BACKEND_PORT, port ?? 0);
    this.#view.setUint32(id * L.BACKEND_BYTES + L.BACKEND_FAMILY, addressFamily(address), true);
    this.#arena.u8.set(own, this.at(id));
    this.setState(id, state);
  }

  #own(id: number): Uint8Array {
    return this.#image.subarray(id * L.BACKEND_BYTES, (id + 1) * L.BACKEND_BYTES);
  }

  #setStateWord(id: number, word: number): void {
    this.#view.setUint32(id * L.BACKEND_BYTES + L.BACKEND_STATE, word, true);
    this.#arena.setWord(this.at(id) + L.BACKEND_STATE, word);
  }

  setState(id: number, state: BackendState): void {
    this.#setStateWord(id, STATES[state]);
  }

  /** Says to which pool a backend belongs. @param record address of the pool's record */
  setPool(id: number, record: number): void {
    this.#view.setUint32(id * L.BACKEND_BYTES + L.BACKEND_POOL, record, true);
    this.#arena.setWord(this.at(id) + L.BACKEND_POOL, record);
  }

  /** From now on its entries count as misses, and the sweep empties them. */
  free(id: number): void {
    this.#setStateWord(id, L.BACKEND_STATE_FREE);
  }

  /** Undefined when it is not known, and its packets are dropped. */
  setNextHop(id: number, hop: NextHop | undefined): void {
    if (hop) this.#nextHops.set(id, hop);
    else this.#nextHops.delete(id);
    const word = hop ? nextHopWord(hop) : 0n;
    this.#view.setBigUint64(id * L.BACKEND_BYTES + L.BACKEND_NEXT_HOP, word, true);
    Atomics.store(this.#arena.u64, (this.at(id) + L.BACKEND_NEXT_HOP) / 8, word);
  }

  /** As it was set last. */
  nextHop(id: number): NextHop | undefined {
    return this.#nextHops.get(id);
  }

  /** Compares the records of ids from `from` up to `to` with what should be in them. @returns the first id that differs */
  damaged(from: number, to: number): number | undefined {
    const expected = this.#image.subarray(from * L.BACKEND_BYTES, to * L.BACKEND_BYTES);
    const actual = this.#arena.u8.subarray(this.at(from), this.at(to));
    if (Buffer.compare(actual, expected) === 0) return undefined;
    return from + Math.floor(expected.findIndex((byte, i) => byte !== actual[i]) / L.BACKEND_BYTES);
  }

  /** Writes a record once more. */
  restore(id: number): void {
    this.#arena.u8.set(this.#own(id), this.at(id));
  }
}
