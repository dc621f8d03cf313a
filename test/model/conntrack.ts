// The connection table of docs/datapath.md §3, as plain objects: 256 shards of lines of 7 ways.
//
// Two things are simpler than in the engine: ages are stored whole, not modulo 64, and the sweep is "never" or
// "before each step of the clock". Since it changes no decision, the two are the same to everyone outside.

import {
  AGE_PER_TIMEOUT,
  TRACK_EVICTED,
  TRACK_HIT,
  TRACK_HIT_AWAY,
  TRACK_INSERTED,
  TRACK_INSERTED_AWAY,
  TRACK_NONE,
  TRACK_REPLACED,
  WAYS,
} from "../../assembly/layout.ts";
import type { Timeouts } from "./setup.ts";

export type FlowState = keyof Timeouts;

interface Entry {
  signature: bigint;
  fingerprint: bigint;
  /** The entry's home is the neighbouring line. */
  away: boolean;
  backend: number;
  state: FlowState;
  /** Tick of its state at its last packet. */
  age: number;
}

type Line = (Entry | undefined)[];

/** One way of a line as seen from a flow's home. */
interface Way {
  line: Line;
  index: number;
  /** In the neighbouring line. */
  away: boolean;
}

export interface Track {
  track: number;
  backend: number;
}

const FIN = 0x01;
const SYN = 0x02;
const RST = 0x04;
const ACK = 0x10;
/** The clock advances in steps of this. */
const STEP_MS = 16;

export class Conntrack {
  readonly #lines = new Map<string, Line>();
  readonly #shardLines: bigint;
  readonly #timeoutsMs: Timeouts;
  readonly #eager: boolean;
  readonly #isUsable: (backend: number) => boolean;
  #clockMs = 0;

  /** `isUsable` says of a backend id whether it is active or draining. */
  constructor(
    options: { shardLines: number; timeoutsMs: Timeouts; eager: boolean },
    isUsable: (backend: number) => boolean,
  ) {
    this.#shardLines = BigInt(options.shardLines);
    this.#timeoutsMs = options.timeoutsMs;
    this.#eager = options.eager;
    this.#isUsable = isUsable;
  }

  /** The clock, in its steps. */
  get clockMs(): number {
    return this.#clockMs;
  }

  /** Time passes. A clock that runs backwards stands still. */
  advance(clockMs: number): void {
    const next = Math.max(this.#clockMs, clockMs - (clockMs % STEP_MS));
    if (next === this.#clockMs) return;
    this.#clockMs = next;
    if (this.#eager) this.#sweep();
  }

  #sweep(): void {
    for (const line of this.#lines.values()) {
      for (const [index, entry] of line.entries()) {
        if (entry && this.#isExpired(entry)) line[index] = undefined;
      }
    }
  }

  /** The backend of a flow that is known, or undefined on a miss. `tcpFlags` is undefined for UDP. */
  hit(key: bigint, tcpFlags: number | undefined): Track | undefined {
    const found = this.#find(key, tcpFlags);
    if (!found) return undefined;
    const { entry, track } = found;
    if (tcpFlags !== undefined) entry.state = stateAfter(entry.state, tcpFlags);
    entry.age = this.#tick(entry.state);
    return { track, backend: entry.backend };
  }

  /** The backend of a flow that is known, which stays as it is. */
  look(key: bigint): Track | undefined {
    const found = this.#find(key, undefined);
    return found && { track: found.track, backend: found.entry.backend };
  }

  #find(key: bigint, tcpFlags: number | undefined): { entry: Entry; track: number } | undefined {
    for (const way of this.#ways(key)) {
      const entry = way.line[way.index];
      if (!entry || !matches(entry, key, way) || !this.#isLive(entry, tcpFlags)) continue;
      return { entry, track: way.away ? TRACK_HIT_AWAY : TRACK_HIT };
    }
    return undefined;
  }

  /** A packet that a backend sends back to the client of a flow. @returns TRACK_* of the flow if it is the backend's */
  answer(key: bigint, backend: number, tcpFlags: number | undefined): number {
    for (const way of this.#ways(key)) {
      const entry = way.line[way.index];
      if (!entry || !matches(entry, key, way) || entry.backend !== backend) continue;
      if (this.#isExpired(entry) || !this.#isUsable(backend)) continue;
      if (tcpFlags !== undefined && tcpFlags & (FIN | RST)) entry.state = "closing";
      entry.age = this.#tick(entry.state);
      return way.away ? TRACK_HIT_AWAY : TRACK_HIT;
    }
    return TRACK_NONE;
  }

  /** Whether a flow that missed has an entry nevertheless, which is not live but not expired either. */
  isKnown(key: bigint): boolean {
    return this.#ways(key).some((way) => {
      const entry = way.line[way.index];
      return entry !== undefined && matches(entry, key, way) && !this.#isExpired(entry);
    });
  }

  /** Remembers a flow that missed. */
  insert(key: bigint, backend: number, tcpFlags: number | undefined): Track {
    const { way, track } = this.#place(key);
    const state = firstState(tcpFlags);
    way.line[way.index] = {
      signature: signatureOf(key),
      fingerprint: fingerprintOf(key),
      away: way.away,
      backend,
      state,
      age: this.#tick(state),
    };
    return { track, backend };
  }

  /** Entries that count as a backend's active flows: not expired, and not closing. */
  activeFlows(backend: number): number {
    const entries = [...this.#lines.values()].flat();
    return entries.filter((e) => e?.backend === backend && e.state !== "closing" && !this.#isExpired(e))
      .length;
  }

  /** Where a flow that missed goes: the four rules of §3. */
  #place(key: bigint): { way: Way; track: number } {
    const ways = this.#ways(key);
    const entryOf = (way: Way) => way.line[way.index];
    const isFree = (way: Way) => {
      const entry = entryOf(way);
      return !entry || this.#isExpired(entry);
    };
    const own = ways.find((way) => {
      const entry = entryOf(way);
      return entry && matches(entry, key, way) && !this.#isExpired(entry);
    });
    if (own) return { way: own, track: TRACK_REPLACED };
    const home = ways.find((way) => !way.away && isFree(way));
    if (home) return { way: home, track: TRACK_INSERTED };
    const nextDoor = ways.find((way) => way.away && isFree(way));
    if (nextDoor) return { way: nextDoor, track: TRACK_INSERTED_AWAY };
    const scores = ways.map((way) => this.#evictionScore(entryOf(way)!));
    return { way: ways[scores.indexOf(Math.max(...scores))]!, track: TRACK_EVICTED };
  }

  /** Not established goes before established, then the oldest. */
  #evictionScore(entry: Entry): number {
    return (entry.state === "established" ? 0 : 64) + (this.#tick(entry.state) - entry.age);
  }

  /** The ways where a key may be, in the order of lookup: home 0…6, then the neighbour's 0…6. */
  #ways(key: bigint): Way[] {
    const shard = key & 255n;
    const home = (key >> 8n) & (this.#shardLines - 1n);
    return [home, home ^ 1n].flatMap((number) => {
      const line = this.#line(`${shard}/${number}`);
      return line.map((_, index) => ({ line, index, away: number !== home }));
    });
  }

  #line(name: string): Line {
    let line = this.#lines.get(name);
    if (!line) {
      line = Array(WAYS).fill(undefined);
      this.#lines.set(name, line);
    }
    return line;
  }

  /** §3. */
  #tick(state: FlowState): number {
    return Math.floor((this.#clockMs * AGE_PER_TIMEOUT) / this.#timeoutsMs[state]);
  }

  #isExpired(entry: Entry): boolean {
    return this.#tick(entry.state) - entry.age > AGE_PER_TIMEOUT;
  }

  #isLive(entry: Entry, tcpFlags: number | undefined): boolean {
    if (entry.state === "closing" && tcpFlags !== undefined && opens(tcpFlags)) return false;
    return !this.#isExpired(entry) && this.#isUsable(entry.backend);
  }
}

const fingerprintOf = (key: bigint) => (key >> 16n) & 0xffffffffn;
const signatureOf = (key: bigint) => key >> 48n;

function matches(entry: Entry, key: bigint, way: Way): boolean {
  return (
    entry.signature === signatureOf(key) &&
    entry.fingerprint === fingerprintOf(key) &&
    entry.away === way.away
  );
}

/** The state of a new entry. */
function firstState(tcpFlags: number | undefined): FlowState {
  if (tcpFlags === undefined) return "udp";
  return tcpFlags & (FIN | RST) ? "closing" : "new";
}

/** The table "on a hit" of §3; the first row that applies. */
/** SYN alone, of the flags that matter. */
function opens(flags: number): boolean {
  return (flags & (SYN | ACK | FIN | RST)) === SYN;
}

function stateAfter(before: FlowState, flags: number): FlowState {
  if (flags & (FIN | RST)) return "closing";
  if (flags & ACK && !(flags & SYN)) return before === "new" ? "established" : before;
  return before;
}
