// A small arena with sockets, driven from JavaScript: what a worker does with rings, slowly and in the open.
import type { Frames, Ring, Socket, SocketOptions } from "../../build/native.d.ts";
import { native } from "./addon.ts";

export const FRAME_BYTES = 2048;
/** Bytes that the kernel leaves free in front of a packet. */
export const HEADROOM = 256;
export const ENTRIES = 512;

const FRAMES_OFFSET = 16 << 20;
const PACKET_DESCRIPTOR_BYTES = 16;
const FRAME_DESCRIPTOR_BYTES = 8;

/** A packet in the arena: its offset into the frames region and its length. */
export interface Descriptor {
  address: number;
  length: number;
}

export class TestArena {
  readonly memory = new WebAssembly.Memory({ initial: 512, maximum: 512, shared: true });
  readonly bytes = new Uint8Array(this.memory.buffer);
  readonly #words = new Uint32Array(this.memory.buffer);
  readonly #longs = new BigUint64Array(this.memory.buffer);
  readonly frameCount: number;
  #nextSlot = 1 << 20;
  readonly #sockets: Socket[] = [];

  constructor(frameCount = 1024) {
    this.frameCount = frameCount;
  }

  get frames(): Frames {
    return { offset: FRAMES_OFFSET, bytes: this.frameCount * FRAME_BYTES, frameBytes: FRAME_BYTES };
  }

  /** Options of a socket whose rings go to fresh slots. */
  options(device: string, queue: number, sharedWith?: Socket): SocketOptions {
    const slot = (descriptorBytes: number): number => {
      const offset = this.#nextSlot;
      this.#nextSlot += native.ringBytes(ENTRIES, descriptorBytes);
      return offset;
    };
    const rings = { rx: slot(PACKET_DESCRIPTOR_BYTES), tx: slot(PACKET_DESCRIPTOR_BYTES) };
    const entries = { rx: ENTRIES, tx: ENTRIES };
    const { frames } = this;
    if (sharedWith) {
      return { interface: device, queue, frames, rings, entries, mode: "auto", sharedWith: sharedWith.fd };
    }
    return {
      interface: device,
      queue,
      frames,
      rings: { ...rings, fill: slot(FRAME_DESCRIPTOR_BYTES), completion: slot(FRAME_DESCRIPTOR_BYTES) },
      entries: { ...entries, fill: ENTRIES, completion: ENTRIES },
      mode: "auto",
    };
  }

  open(device: string, queue: number, sharedWith?: Socket): Socket {
    return this.openWith(this.options(device, queue, sharedWith));
  }

  openWith(options: SocketOptions): Socket {
    const socket = native.openSocket(this.bytes, options);
    this.#sockets.push(socket);
    return socket;
  }

  /** Closes all sockets, those that share a queue before its first. */
  close(): void {
    for (const socket of this.#sockets.splice(0).reverse()) native.closeSocket(this.bytes, socket.fd);
  }

  /** Entries that the consumer has not taken. */
  used(ring: Ring): number {
    return (this.#load(ring.producer) - this.#load(ring.consumer)) >>> 0;
  }

  /** The packet's bytes. */
  packet({ address, length }: Descriptor): Uint8Array {
    return this.bytes.subarray(FRAMES_OFFSET + address, FRAMES_OFFSET + address + length);
  }

  /** Writes a packet into a frame, behind the headroom. */
  write(frame: number, packet: Uint8Array): Descriptor {
    const address = frame * FRAME_BYTES + HEADROOM;
    this.bytes.set(packet, FRAMES_OFFSET + address);
    return { address, length: packet.length };
  }

  pushPackets(ring: Ring, packets: Descriptor[]): void {
    const producer = this.#load(ring.producer);
    packets.forEach(({ address, length }, index) => {
      const at = ring.descriptors + ((producer + index) & ring.mask) * PACKET_DESCRIPTOR_BYTES;
      this.#longs[at / 8] = BigInt(address);
      this.#longs[at / 8 + 1] = BigInt(length);
    });
    Atomics.store(this.#words, ring.producer / 4, producer + packets.length);
  }

  popPackets(ring: Ring): Descriptor[] {
    const consumer = this.#load(ring.consumer);
    const packets = Array.from({ length: this.used(ring) }, (_, index) => {
      const at = ring.descriptors + ((consumer + index) & ring.mask) * PACKET_DESCRIPTOR_BYTES;
      return { address: Number(this.#longs[at / 8]), length: Number(this.#longs[at / 8 + 1]! & 0xffffffffn) };
    });
    Atomics.store(this.#words, ring.consumer / 4, consumer + packets.length);
    return packets;
  }

  /** Gives frames, by number, to a FILL ring. */
  fill(ring: Ring, frames: number[]): void {
    const producer = this.#load(ring.producer);
    frames.forEach((frame, index) => {
      this.#longs[(ring.descriptors + ((producer + index) & ring.mask) * FRAME_DESCRIPTOR_BYTES) / 8] =
        BigInt(frame * FRAME_BYTES);
    });
    Atomics.store(this.#words, ring.producer / 4, producer + frames.length);
  }

  /** Takes the sent frames, by number, from a COMPLETION ring. */
  completed(ring: Ring): number[] {
    const consumer = this.#load(ring.consumer);
    const frames = Array.from({ length: this.used(ring) }, (_, index) => {
      const at = ring.descriptors + ((consumer + index) & ring.mask) * FRAME_DESCRIPTOR_BYTES;
      return Math.floor(Number(this.#longs[at / 8]) / FRAME_BYTES);
    });
    Atomics.store(this.#words, ring.consumer / 4, consumer + frames.length);
    return frames;
  }

  /** Sends packets from frames `firstFrame` on, a ring at a time, and waits until they are sent. */
  send(socket: Socket, firstFrame: number, packets: Uint8Array[]): void {
    for (let start = 0; start < packets.length; start += ENTRIES) {
      const batch = packets.slice(start, start + ENTRIES);
      this.pushPackets(
        socket.tx,
        batch.map((packet, index) => this.write(firstFrame + index, packet)),
      );
      this.drain(socket);
      this.completed(socket.completion!);
    }
  }

  /** Kicks until the TX ring is empty. */
  drain(socket: Socket): void {
    for (let kicks = 0; this.used(socket.tx) > 0; kicks++) {
      const errno = native.kick(socket.fd);
      if (kicks > 1000) throw new Error(`the TX ring does not empty, kick returns ${errno}`);
    }
  }

  #load(offset: number): number {
    return Atomics.load(this.#words, offset / 4);
  }
}

/** Frame numbers from `first` on. */
export function frameNumbers(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}

/** Waits until `done`, at most a second. Returns whether it was. */
export async function until(done: () => boolean): Promise<boolean> {
  for (let tries = 0; tries < 200 && !done(); tries++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return done();
}
