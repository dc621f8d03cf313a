// Reading a worker's journal: what the pipeline knew of each packet, in the order it was decided.

import * as L from "../../assembly/layout.ts";
import type { Arena } from "./arena.ts";
import { reasonName, trackName, type Verdict, verdictOf } from "./reasons.ts";

/** A packet record; see PACKET_* of layout.ts. */
export interface PacketRecord {
  worker: number;
  /** Offset of its frame. */
  frame: number;
  verdict: Verdict;
  reason: string;
  /** 0 for none. */
  service: number;
  /** Of a flow; else 0. */
  destinationPort: number;
  /** Index of the VIP, from its record; undefined for none. */
  vip: number | undefined;
  /** Id; 0 for none. */
  backend: number;
  /** Whether the connection table knew the flow. */
  tracked: boolean;
  track: string;
  /** Whether it comes from a backend, on its way back to the client. */
  answer: boolean;
  key: bigint;
  shard: number;
  /** Address of the conntrack line; 0 for none. */
  line: number;
  /** Of the lookup table, where it decided; else 0. */
  hash: number;
  slot: number;
  l3: number;
  l4: number;
  /** Packets that follow it: fragments, it being the first. */
  extras: number;
}

export class JournalReader {
  readonly #arena: Arena;
  readonly #worker: number;
  readonly #at: number;
  readonly #records: number;

  constructor(arena: Arena, worker: number) {
    const { regions, shape } = arena.plan;
    this.#arena = arena;
    this.#worker = worker;
    this.#records = shape.journalRecords;
    this.#at = regions.journals.offset + worker * (L.JOURNAL_RECORDS + this.#records * L.PACKET_BYTES);
  }

  /** Takes the records that were written since the last call. */
  *read(): Generator<PacketRecord> {
    const arena = this.#arena;
    const producer = arena.word(this.#at + L.JOURNAL_PRODUCER);
    let consumer = arena.word(this.#at + L.JOURNAL_CONSUMER);
    for (; consumer !== producer; consumer = (consumer + 1) >>> 0) {
      yield this.#decode(this.#at + L.JOURNAL_RECORDS + (consumer & (this.#records - 1)) * L.PACKET_BYTES);
      arena.setWord(this.#at + L.JOURNAL_CONSUMER, consumer + 1);
    }
  }

  #decode(at: number): PacketRecord {
    const { u8, u16, u32, u64 } = this.#arena;
    const vipAt = u32[(at + L.PACKET_VIP) / 4]!;
    const reason = u8[at + L.PACKET_REASON]!;
    const track = u8[at + L.PACKET_TRACK]!;
    const key = u64[(at + L.PACKET_KEY) / 8]!;
    const tracked = track === L.TRACK_HIT || track === L.TRACK_HIT_AWAY;
    // A packet behind the first of its flow in a batch asks the lookup table in vain, and keeps the traces.
    const looked = (field: number) => (tracked ? 0 : u32[(at + field) / 4]!);
    return {
      worker: this.#worker,
      frame: u32[(at + L.PACKET_FRAME) / 4]!,
      verdict: verdictOf(reason),
      reason: reasonName(reason),
      service: u16[(at + L.PACKET_SERVICE) / 2]!,
      destinationPort: key === 0n ? 0 : (u8[at + L.PACKET_PORTS + 2]! << 8) | u8[at + L.PACKET_PORTS + 3]!,
      vip: vipAt === 0 ? undefined : u32[(vipAt + L.VIP_INDEX) / 4],
      backend: u16[(at + L.PACKET_BACKEND) / 2]!,
      tracked,
      track: trackName(track),
      answer: (u8[at + L.PACKET_KIND]! & L.PACKET_KIND_RETURN) !== 0,
      key,
      shard: Number(key & BigInt(L.SHARDS - 1)),
      line: u32[(at + L.PACKET_LINE) / 4]!,
      hash: looked(L.PACKET_HASH),
      slot: looked(L.PACKET_SLOT),
      l3: u8[at + L.PACKET_L3]!,
      l4: u8[at + L.PACKET_L4]!,
      extras: u8[at + L.PACKET_EXTRAS]!,
    };
  }
}
