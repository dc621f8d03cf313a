// The thread of the native forwarder, which blocks while it forwards: a message per turn.

import { parentPort } from "node:worker_threads";
import { type Frames, loadBenchAddon, type SocketRings } from "./addon.ts";

export interface NativeTurn {
  cpu: number;
  bytes: Uint8Array;
  socket: SocketRings;
  frames: Frames;
  millis: number;
  idleSpins: number;
}

const addon = loadBenchAddon();
parentPort!.on("message", ({ cpu, bytes, socket, frames, millis, idleSpins }: NativeTurn) => {
  addon.pinThread(cpu);
  parentPort!.postMessage(addon.nativeForward(bytes, socket, frames, millis, idleSpins));
});
