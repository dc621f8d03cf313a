// The table of connections that a process has left behind, flow by flow. What it says is checked: a flow that could not have
// been written makes all of it unsound.

import { createHash, type Hash } from "node:crypto";
import { readSync } from "node:fs";
import * as L from "../../../assembly/layout.ts";
import { type Header, Unsound } from "./header.ts";

/** How far the clock may be beyond what the time says: a clock on the wall may have been set back. */
const MOST_AHEAD_MS = 24 * 3_600_000;
/** Steps of the workers' clock (assembly/clock.ts). */
const CLOCK_STEP_MS = 16;
/** Ticks behind from which on an age is taken for one that lies ahead: none that was swept is so old (assembly/sweep.ts). */
const AHEAD = 48;

/** A flow of the table. */
export interface OldFlow {
  /** Home: shard, and the low 8 bits of the line; fingerprint and signature have the other bits of the key. */
  shard: number;
  homeByte: number;
  fingerprint: number;
  signature: number;
  backend: number;
  state: number;
  /** Ticks since its last packet, when the process ended. */
  age: number;
}

export class OldTable {
  readonly header: Header;
  /** The clock when the process ended, milliseconds. */
  readonly clockMs: number;
  /** SHARD_FRAGMENTED of each shard. */
  readonly fragmented: Uint32Array;
  readonly #fd: number;
  readonly #hash: Hash;

  /** @param fd of the table, open @param ranMs how long its clock can have run until now. @throws Unsound */
  constructor(fd: number, header: Header, ranMs: number) {
    this.header = header;
    this.#fd = fd;
    this.#hash = createHash("sha256");
    const records = this.#read(header.offset, L.SHARDS * L.SHARD_BYTES);
    const field = (read: (at: number) => number) =>
      Array.from({ length: L.SHARDS }, (_, shard) => read(shard * L.SHARD_BYTES));
    const swept = field((at) => Number(records.readBigUInt64LE(at + L.SHARD_SWEPT_AT)));
    this.fragmented = Uint32Array.from(field((at) => records.readUInt32LE(at + L.SHARD_FRAGMENTED)));
    this.clockMs = Math.max(header.clockMs, ...swept);
    if (this.clockMs > Math.max(ranMs, header.clockMs) + MOST_AHEAD_MS)
      throw new Unsound("its clock lies in the future");
  }

  #read(at: number, bytes: number): Buffer {
    const buffer = Buffer.allocUnsafe(bytes);
    for (let done = 0; done < bytes; ) {
      const read = readSync(this.#fd, buffer, done, bytes - done, at + done);
      if (read === 0) throw new Unsound("its table ends too early");
      done += read;
    }
    this.#hash.update(buffer);
    return buffer;
  }

  /**
   * Calls `visit` for each flow, once; the object is the same each time.
   * @param isPossible whether an entry may name a backend id
   * @throws Unsound, maybe after some visits
   */
  forEach(isPossible: (backend: number) => boolean, visit: (flow: OldFlow) => void): void {
    const { shardLines, offset, digest } = this.header;
    const bytes = shardLines * L.LINE;
    for (let shard = 0; shard < L.SHARDS; shard++) {
      const lines = this.#read(offset + L.SHARDS * L.SHARD_BYTES + shard * bytes, bytes);
      this.#visitShard(shard, lines, isPossible, visit);
    }
    if (digest !== undefined && this.#hash.digest("hex") !== digest)
      throw new Unsound("its table's checksum is wrong");
  }

  #visitShard(
    shard: number,
    lines: Buffer,
    isPossible: (backend: number) => boolean,
    visit: (flow: OldFlow) => void,
  ): void {
    const view = new DataView(lines.buffer, lines.byteOffset, lines.byteLength);
    const ticks = this.#ticks();
    const upper = (this.header.shardLines >>> 8) - 1;
    const flow = { shard, homeByte: 0, fingerprint: 0, signature: 0, backend: 0, state: 0, age: 0 };
    for (let index = 0; index < this.header.shardLines; index++) {
      const at = index * L.LINE;
      const away = lines[at + L.LINE_AWAY]!;
      if (away >>> L.WAYS !== 0) throw new Unsound(impossible(shard, index));
      for (let way = 0; way < L.WAYS; way++) {
        const backend = view.getUint16(at + L.WAY_BACKEND + way * 2, true);
        if (backend === 0) continue;
        const home = (away >>> way) & 1 ? index ^ 1 : index;
        flow.fingerprint = view.getUint32(at + L.WAY_FINGERPRINT + way * 4, true);
        // Bits of the key that the place and the fingerprint both tell (assembly/hash.ts).
        if (!isPossible(backend) || home >>> 8 !== (flow.fingerprint & upper) >>> 0)
          throw new Unsound(impossible(shard, index));
        const meta = lines[at + L.WAY_META + way]!;
        flow.homeByte = home & 0xff;
        flow.signature = view.getUint16(at + L.WAY_SIGNATURE + way * 2, true);
        flow.backend = backend;
        flow.state = meta >>> L.AGE_BITS;
        const age = (ticks[flow.state]! - meta) & L.AGE_MASK;
        flow.age = age >= AHEAD ? 0 : age;
        visit(flow);
      }
    }
  }

  /** Ticks of the four states when the process ended. */
  #ticks(): number[] {
    return timeoutsOf(this.header.timeouts).map((timeoutMs) => ticksAt(this.clockMs, timeoutMs));
  }
}

function impossible(shard: number, line: number): string {
  return `its table has a flow in shard ${shard}, line ${line} that no process has written`;
}

/** Timeouts by the FLOW_* state. */
export function timeoutsOf({ new: fresh, established, closing, udp }: Header["timeouts"]): number[] {
  const timeouts: number[] = [];
  timeouts[L.FLOW_NEW] = fresh;
  timeouts[L.FLOW_ESTABLISHED] = established;
  timeouts[L.FLOW_CLOSING] = closing;
  timeouts[L.FLOW_UDP] = udp;
  return timeouts;
}

/** Ticks of the clock so far (assembly/clock.ts); ages keep the low six bits. */
export function ticksAt(clockMs: number, timeoutMs: number): number {
  return Math.floor(((clockMs - (clockMs % CLOCK_STEP_MS)) * L.AGE_PER_TIMEOUT) / timeoutMs);
}
