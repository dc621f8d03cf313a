// The packets of a worker's batch, as they lie in their frames.

import * as L from "../../assembly/layout.ts";

/**
 * Copies of the packets in a worker's hands.
 * @param block address of its control block
 * @param frames address of the frames, and their bytes in all: what lies elsewhere is no packet
 */
export function packetsInHand(
  memory: WebAssembly.Memory,
  block: number,
  frames: { offset: number; bytes: number; frameBytes: number },
): Uint8Array[] {
  const words = new Uint32Array(memory.buffer);
  const bytes = new Uint8Array(memory.buffer);
  const count = Math.min(words[(block + L.WORKER_IN_HAND) / 4]!, L.BATCH);
  return Array.from({ length: count }, (_, i) => {
    const record = (block + L.WORKER_BATCH + i * L.PACKET_BYTES) / 4;
    const start = words[record + L.PACKET_START / 4]!;
    const length = words[record + L.PACKET_LENGTH / 4]!;
    const within = start >= frames.offset && start + length <= frames.offset + frames.bytes;
    return within && length <= frames.frameBytes ? bytes.slice(start, start + length) : new Uint8Array(0);
  }).filter((packet) => packet.length > 0);
}
