// Single-producer single-consumer rings in the kernel's XDP format.
//
//   role      may call
//   consumer  available, …read descriptors…, release
//   producer  occupied, …write descriptors…, publish
//
// Indices run freely modulo 2^32; a descriptor's place is index & mask. The other end may be the kernel, the
// controller or another worker: the loads and stores of the indices are what orders the descriptors
// (Documentation/networking/af_xdp.rst; in WebAssembly every atomic is sequentially consistent).

import {
  FRAME_DESCRIPTOR_BYTES,
  MEMORY_RING_CONSUMER,
  MEMORY_RING_DESCRIPTORS,
  PACKET_DESCRIPTOR_BYTES,
} from "./layout";
import { Ring } from "./records";

/** Consumer: descriptors that can be read from `consumerIndex` on. */
export function available(ring: Ring): u32 {
  return atomic.load<u32>(ring.producer) - load<u32>(ring.consumer);
}

/** The index that this end owns, as it last stored it. */
export function consumerIndex(ring: Ring): u32 {
  return load<u32>(ring.consumer);
}

export function producerIndex(ring: Ring): u32 {
  return load<u32>(ring.producer);
}

/** Producer: how many descriptors the other end has not taken yet. */
export function occupied(ring: Ring): u32 {
  // The consumer first: it is never ahead of a producer that is read later, whoever moves either meanwhile.
  const consumer = atomic.load<u32>(ring.consumer);
  return atomic.load<u32>(ring.producer) - consumer;
}

/** Consumer: gives the descriptors before `index` back. */
export function release(ring: Ring, index: u32): void {
  atomic.store<u32>(ring.consumer, index);
}

/** Producer: shows the descriptors before `index`. */
export function publish(ring: Ring, index: u32): void {
  atomic.store<u32>(ring.producer, index);
}

/** Address of a packet descriptor {u64 address, u32 length, u32 options}. */
export function packetSlot(descriptors: usize, mask: u32, index: u32): usize {
  return descriptors + (index & mask) * PACKET_DESCRIPTOR_BYTES;
}

/** Address of a frame descriptor {u64 address}. */
export function frameSlot(descriptors: usize, mask: u32, index: u32): usize {
  return descriptors + (index & mask) * FRAME_DESCRIPTOR_BYTES;
}

// Rings of our own, by the address of their block: a producer index on the first line, a consumer index on
// the second, descriptors from the fourth on.

/** Producer of a ring of our own with `entries` packet descriptors: writes one, shown when the producer index is stored. False when full. */
export function pushBlock(
  block: usize,
  entries: u32,
  index: u32,
  address: u64,
  length: u32,
  options: u32,
): bool {
  if (index - atomic.load<u32>(block + MEMORY_RING_CONSUMER) >= entries) return false;
  const slot = packetSlot(block + MEMORY_RING_DESCRIPTORS, entries - 1, index);
  store<u64>(slot, address);
  store<u64>(slot, <u64>length | ((<u64>options) << 32), 8);
  return true;
}
