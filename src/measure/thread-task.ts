// What a thread of a measurement is told, and what it says.

import type { FeedRings } from "./feeder.ts";
import type { Traffic } from "./traffic.ts";

export interface TurnTask {
  worker: number;
  memory: WebAssembly.Memory;
  module: WebAssembly.Module;
  rings: FeedRings;
  /** Arena address of the frames. */
  frames: number;
  traffic: Traffic;
  /** Packets of the traffic to leave out: where the last turn ended. */
  from: number;
  /** Enters all flows, instead of measuring. */
  enters: boolean;
  /** Rounds that do not count, and those that do. */
  warmRounds: number;
  rounds: number;
  /** Clock of the engine when it begins. */
  clockMs: number;
  /** Words of the barrier that all workers of the turn meet at. */
  barrier: Int32Array;
  workers: number;
  /** CPU to pin the thread to. */
  cpu?: number;
}

export interface TurnReport {
  /** Nanoseconds that the worker took for each round, and packets of it. */
  roundsNs: number[];
  roundPackets: number[];
  /** Packets that left by the worker's own port, warm rounds among them. */
  packets: number;
  sent: number;
  clockMs: number;
}
