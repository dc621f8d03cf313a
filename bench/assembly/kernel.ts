// The kernel's side of a queue in memory: packets that were made before go into frames from FILL and out by RX; what a worker
// sent comes from TX, and its frames go back by COMPLETION. As fast as it can be, so that a worker's own thread can do both.
//
// Rings are given by their descriptions (RING_* of layout.ts), packets lie one after the other, PACKET bytes each.

import { frames } from "../../assembly/instance";
import { HEADROOM } from "../../assembly/layout";
import { Ring } from "../../assembly/records";
import {
  available,
  consumerIndex,
  frameSlot,
  occupied,
  packetSlot,
  producerIndex,
  publish,
  release,
} from "../../assembly/ring";

/** Bytes from packet to packet, and of each: the smallest there is, without FCS. */
const PACKET: u32 = 64;

function ringAt(address: usize): Ring {
  return changetype<Ring>(address);
}

/**
 * Delivers up to `count` packets, as many as there are frames and room.
 * @param fillAt description of the FILL ring
 * @param rxAt description of the RX ring
 * @param packets address of packets of which there is a power of two
 * @param next number of the first packet to deliver; they are used in turn
 * @param mask the number of packets less one
 * @returns packets delivered
 */
export function feed(fillAt: usize, rxAt: usize, count: u32, packets: usize, next: u32, mask: u32): u32 {
  const fill = ringAt(fillAt);
  const rx = ringAt(rxAt);
  const offered = available(fill);
  const room = rx.mask + 1 - occupied(rx);
  let most = offered < room ? offered : room;
  if (most > count) most = count;
  const from = consumerIndex(fill);
  const to = producerIndex(rx);
  for (let i: u32 = 0; i < most; i++) {
    const address = load<u32>(frameSlot(fill.descriptors, fill.mask, from + i)) + HEADROOM;
    const packet = packets + ((next + i) & mask) * PACKET;
    const start = frames + address;
    v128.store(start, v128.load(packet));
    v128.store(start, v128.load(packet, 16), 16);
    v128.store(start, v128.load(packet, 32), 32);
    v128.store(start, v128.load(packet, 48), 48);
    const slot = packetSlot(rx.descriptors, rx.mask, to + i);
    store<u64>(slot, address);
    store<u64>(slot, PACKET, 8);
  }
  release(fill, from + most);
  publish(rx, to + most);
  return most;
}

/**
 * Takes what was sent and returns the frames.
 * @param txAt description of the TX ring
 * @param completionAt description of the COMPLETION ring
 * @returns packets taken
 */
export function collect(txAt: usize, completionAt: usize): u32 {
  const tx = ringAt(txAt);
  const completion = ringAt(completionAt);
  const sent = available(tx);
  const from = consumerIndex(tx);
  const to = producerIndex(completion);
  for (let i: u32 = 0; i < sent; i++) {
    const address = load<u64>(packetSlot(tx.descriptors, tx.mask, from + i));
    store<u64>(frameSlot(completion.descriptors, completion.mask, to + i), address);
  }
  release(tx, from + sent);
  publish(completion, to + sent);
  return sent;
}
