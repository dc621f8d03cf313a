// Where every frame is. Exact when traffic and workers stand still; while they run, frames on their way from
// one place to the next may be seen twice or not at all.

import * as L from "../../assembly/layout.ts";
import type { Engine } from "./engine.ts";
import type { Ring } from "./rings.ts";

export interface FrameAudit {
  total: number;
  /** Frames by place. */
  places: Record<"fill" | "completion" | "rx" | "tx" | "handoff" | "held" | "free" | "inHand", number>;
  /** Offsets of frames that are in no place that can be seen. The kernel may hold one per queue. */
  missing: number[];
  /** Offsets of frames that are in two places: never right when everything stands still. */
  duplicated: number[];
  /** Addresses that belong to no frame. */
  invalid: number[];
}

export function auditFrames(engine: Engine): FrameAudit {
  const { arena, wiring, workers } = engine;
  const { frameBytes, frameCount, regions, freeListBytes } = arena.plan;
  const seen = new Uint8Array(frameCount);
  const places = { fill: 0, completion: 0, rx: 0, tx: 0, handoff: 0, held: 0, free: 0, inHand: 0 };
  const invalid: number[] = [];

  const note = (place: keyof typeof places, address: number) => {
    places[place]++;
    const frame = Math.floor(address / frameBytes);
    if (frame < frameCount) seen[frame]!++;
    else invalid.push(address);
  };
  const noteRing = (place: keyof typeof places, ring: Ring, descriptorBytes: number) => {
    // The consumer first: the producer, read later, is never behind it.
    const consumer = arena.word(ring.consumer);
    const count = Math.min((arena.word(ring.producer) - consumer) >>> 0, ring.mask + 1);
    for (let i = 0; i < count; i++) {
      const slot = ring.descriptors + ((consumer + i) & ring.mask) * descriptorBytes;
      note(place, arena.u32[slot / 4]!);
    }
  };

  for (const { fill, completion } of wiring.queues) {
    noteRing("fill", fill, L.FRAME_DESCRIPTOR_BYTES);
    noteRing("completion", completion, L.FRAME_DESCRIPTOR_BYTES);
  }
  for (const { rx, tx } of wiring.ports) {
    noteRing("rx", rx, L.PACKET_DESCRIPTOR_BYTES);
    noteRing("tx", tx, L.PACKET_DESCRIPTOR_BYTES);
  }
  for (const { ring } of wiring.handoffs) noteRing("handoff", ring, L.PACKET_DESCRIPTOR_BYTES);
  for (let shard = 0; shard < L.SHARDS; shard++) {
    const first = regions.fragments.offset + shard * L.PAGE + L.FRAGMENT_HELD;
    for (let at = first; at < first + L.HELD_FRAGMENTS * L.HELD_BYTES; at += L.HELD_BYTES) {
      if (arena.u8[at + L.HELD_STATE] !== L.HELD_STATE_FREE)
        note("held", arena.u32[(at + L.HELD_ADDRESS) / 4]!);
    }
  }
  for (let worker = 0; worker < workers; worker++) {
    const block = arena.workerBlock(worker);
    const list = regions.freeLists.offset + worker * freeListBytes;
    const free = arena.word(block + L.WORKER_FREE_COUNT);
    for (let i = 0; i < free; i++) note("free", arena.u32[list / 4 + i]!);
    const inHand = arena.word(block + L.WORKER_IN_HAND);
    for (let i = 0; i < inHand; i++) {
      note("inHand", arena.u32[(block + L.WORKER_BATCH + i * L.PACKET_BYTES + L.PACKET_FRAME) / 4]!);
    }
  }
  const missing: number[] = [];
  const duplicated: number[] = [];
  seen.forEach((times, frame) => {
    if (times === 0) missing.push(frame * frameBytes);
    if (times > 1) duplicated.push(frame * frameBytes);
  });
  return { total: frameCount, places, missing, duplicated, invalid };
}
