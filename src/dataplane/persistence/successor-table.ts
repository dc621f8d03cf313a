// Flows of a process before, entered into the table of this one. Nobody else writes there yet. A flow is found again by its key,
// so it may lie in another line than before, and the table may have another size.

import * as L from "../../../assembly/layout.ts";
import type { Arena } from "../arena.ts";
import { type OldFlow, type OldTable, ticksAt, timeoutsOf } from "./old-table.ts";

/** What became of the flows of a process before. */
export interface Inheritance {
  /** In the table now. */
  kept: number;
  /** Idle for longer than their timeout. */
  expired: number;
  /** Of backends that are not there any more. */
  forsaken: number;
  /** For which the table has no room: it is smaller. */
  crowded: number;
}

/** Backends of the process before, by their ids there. */
export interface Backends {
  /** The id now; 0 when the backend is not there any more. */
  idOf: Uint16Array;
  isPossible(id: number): boolean;
}

/** @param clockMs of the workers, now. @throws Unsound; then the table is empty */
export function inherit(old: OldTable, arena: Arena, backends: Backends, clockMs: number): Inheritance {
  const heir = new Heir(old, arena, backends.idOf, clockMs);
  try {
    old.forEach(backends.isPossible, (flow) => heir.take(flow));
  } catch (error) {
    heir.disclaim();
    throw error;
  }
  heir.finish();
  return heir.inheritance;
}

class Heir {
  readonly inheritance: Inheritance = { kept: 0, expired: 0, forsaken: 0, crowded: 0 };
  readonly #old: OldTable;
  readonly #arena: Arena;
  readonly #idOf: Uint16Array;
  /** Flows that are not closing, by the backend's id. */
  readonly #active: Float64Array;
  readonly #oldTimeouts: number[];
  readonly #timeouts: number[];
  readonly #ticks: number[];
  /** Milliseconds from the end of the process before. */
  readonly #goneMs: number;

  constructor(old: OldTable, arena: Arena, idOf: Uint16Array, clockMs: number) {
    this.#old = old;
    this.#arena = arena;
    this.#idOf = idOf;
    this.#active = new Float64Array(arena.plan.backendCapacity);
    this.#oldTimeouts = timeoutsOf(old.header.timeouts);
    this.#timeouts = this.#oldTimeouts.map((_, state) => arena.word(L.HEADER_TIMEOUTS + 4 * state));
    this.#ticks = this.#timeouts.map((timeoutMs) => ticksAt(clockMs, timeoutMs));
    this.#goneMs = Math.max(0, clockMs - old.clockMs);
  }

  take(flow: OldFlow): void {
    const id = this.#idOf[flow.backend]!;
    const age = this.#ageOf(flow);
    if (id === 0) this.inheritance.forsaken++;
    else if (age > L.AGE_PER_TIMEOUT) this.inheritance.expired++;
    else if (
      !this.#enter(
        flow,
        id,
        ((flow.state << L.AGE_BITS) | ((this.#ticks[flow.state]! - age) & L.AGE_MASK)) & 0xff,
      )
    )
      this.inheritance.crowded++;
    else {
      this.inheritance.kept++;
      if (flow.state !== L.FLOW_CLOSING) this.#active[id]!++;
    }
  }

  /** Ticks since its last packet, now. */
  #ageOf({ state, age }: OldFlow): number {
    const [then, now] = [this.#oldTimeouts[state]!, this.#timeouts[state]!];
    // Exact, however often: nothing may live longer by being taken over.
    if (then === now) return age + this.#ticks[state]! - ticksAt(this.#old.clockMs, then);
    const idleMs = (age * then) / L.AGE_PER_TIMEOUT + this.#goneMs;
    return Math.floor((idleMs * L.AGE_PER_TIMEOUT) / now);
  }

  /** Writes an entry into the first empty way, at home or next door. @returns whether there was one */
  #enter({ shard, homeByte, fingerprint, signature }: OldFlow, backend: number, meta: number): boolean {
    const { u8, u16, u32, plan } = this.#arena;
    const home = (homeByte | (fingerprint << 8)) & (plan.shardLines - 1);
    for (const index of [home, home ^ 1]) {
      const line = plan.regions.conntrack.offset + (shard * plan.shardLines + index) * L.LINE;
      for (let way = 0; way < L.WAYS; way++) {
        const at = (line + L.WAY_BACKEND) / 2 + way;
        if (u16[at] !== 0) continue;
        if (index !== home) u8[line + L.LINE_AWAY]! |= 1 << way;
        u16[(line + L.WAY_SIGNATURE) / 2 + way] = signature;
        u32[(line + L.WAY_FINGERPRINT) / 4 + way] = fingerprint;
        u8[line + L.WAY_META + way] = meta;
        u16[at] = backend;
        return true;
      }
    }
    return false;
  }

  /** What is counted of flows is counted by the first worker: readers sum. */
  finish(): void {
    const { u64, u32, plan } = this.#arena;
    const add = (counter: number, by: number) => {
      u64[(plan.regions.counters.offset + counter) / 8]! += BigInt(by);
    };
    add(L.COUNTER_ENTRIES, this.inheritance.kept);
    this.#active.forEach((flows, id) => {
      if (flows > 0) add(L.COUNTER_BACKENDS + id * L.COUNTER_BACKEND_BYTES + 24, flows);
    });
    // Identifications of fragments go on, so that none is another datagram's that is on its way.
    this.#old.fragmented.forEach((sent, shard) => {
      u32[(plan.regions.shards.offset + shard * L.SHARD_BYTES + L.SHARD_FRAGMENTED) / 4] = sent;
    });
  }

  disclaim(): void {
    const { offset, bytes } = this.#arena.plan.regions.conntrack;
    this.#arena.u8.fill(0, offset, offset + bytes);
  }
}
