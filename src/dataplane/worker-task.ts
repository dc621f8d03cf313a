// What the controller tells a worker thread, and what the thread says.

import type { MessagePort } from "node:worker_threads";

/** Longest sleep of an idle worker, milliseconds: its heartbeat and its sweep go on. */
export const PARK_MS = 100;

export interface WorkerTask {
  worker: number;
  memory: WebAssembly.Memory;
  module: WebAssembly.Module;
  /** The engine's start on the wall clock, milliseconds: the zero of the workers' clock. */
  epochMs: number;
  /** How long an idle worker polls before it sleeps, microseconds. */
  spinUs: number;
  /** CPU to pin to. */
  cpu?: number;
  /**
   * The worker's sockets and eventfds of all workers, by number; absent when all its ports are in memory. With `busyPoll` it receives in
   * its own thread, and never sleeps.
   */
  native?: { sockets: number[]; events: number[]; busyPoll: boolean };
  /** Takes a WorkerNotice. */
  notices: MessagePort;
}

/** What a worker says while it runs. */
export type WorkerNotice =
  /** Its thread, as node:worker_threads counts them: it is about to take packets. */
  | { kind: "started"; thread: number }
  /** The data plane trapped with these packets in hand, some of which may be rewritten already. */
  | { kind: "trapped"; stack: string; packets: Uint8Array[] };

export interface WorkerReport {
  worker: number;
  /** Whether every ring was empty and every frame returned when it stopped. */
  drained: boolean;
  traps: number;
  /** Where the first trap was. */
  trap?: string;
}
