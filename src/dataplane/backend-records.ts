// The backends' records in the arena (BACKEND_* of layout.ts).

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
function nextHopWord({ mac, interface: index }: NextHop): bigint {
  const bytes = mac.reduceRight((word, byte) => (word << 8n) | BigInt(byte), 0n);
  return bytes | (BigInt(index) << 48n) | (1n << 56n);
}

export class BackendRecords {
  readonly #arena: Arena;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /** Address of a backend's record. */
  at(id: number): number {
    return this.#arena.plan.regions.backends.offset + id * L.BACKEND_BYTES;
  }

  /** Begins a record; its next hop is not known yet. */
  write(id: number, address: string, state: BackendState): void {
    const at = this.at(id);
    this.#arena.u8.fill(0, at, at + L.BACKEND_BYTES);
    this.#arena.u8.set(addressBytes(address), at + L.BACKEND_ADDRESS);
    this.#arena.setWord(at + L.BACKEND_FAMILY, addressFamily(address));
    this.setState(id, state);
  }

  setState(id: number, state: BackendState): void {
    this.#arena.setWord(this.at(id) + L.BACKEND_STATE, STATES[state]);
  }

  /** From now on its entries count as misses, and the sweep empties them. */
  free(id: number): void {
    this.#arena.setWord(this.at(id) + L.BACKEND_STATE, L.BACKEND_STATE_FREE);
  }

  /** Undefined when it is not known, and its packets are dropped. */
  setNextHop(id: number, hop: NextHop | undefined): void {
    const word = hop ? nextHopWord(hop) : 0n;
    Atomics.store(this.#arena.u64, (this.at(id) + L.BACKEND_NEXT_HOP) / 8, word);
  }
}
