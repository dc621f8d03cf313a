// Whether workers go on: their heartbeats, and whether they take what waits in their rings. Read from the arena; nobody is
// asked.

import * as L from "../../../assembly/layout.ts";
import type { Engine } from "../../dataplane/engine.ts";
import type { Ring } from "../../dataplane/rings.ts";
import { PARK_MS } from "../../dataplane/worker-task.ts";

/** A worker shows a heartbeat at least as often as this, whatever the timeout is: twice its longest sleep. */
const SLOWEST_BEAT_MS = 2 * PARK_MS;

interface Watched {
  ring: Ring;
  name: string;
  consumer: number;
  /** Since when packets wait and none was taken; undefined while none waits. */
  since: number | undefined;
}

interface WorkerProgress {
  heartbeat: number;
  beatAt: number;
  rings: Watched[];
}

export class Progress {
  readonly #engine: Engine;
  readonly #workers: WorkerProgress[];

  /** For an engine whose ports are all there. */
  constructor(engine: Engine, nowMs: number) {
    this.#engine = engine;
    this.#workers = Array.from({ length: engine.workers }, (_, worker) => ({
      heartbeat: engine.arena.word(engine.arena.workerBlock(worker) + L.WORKER_HEARTBEAT),
      beatAt: nowMs,
      rings: this.#ringsOf(worker),
    }));
  }

  #ringsOf(worker: number): Watched[] {
    const { ports, handoffs } = this.#engine.wiring;
    const watch = (ring: Ring, name: string): Watched => ({ ring, name, consumer: 0, since: undefined });
    return [
      ...ports
        .filter((port) => port.worker === worker)
        .map(({ rx, queue }) => watch(rx, `the RX ring of queue ${queue}`)),
      ...handoffs
        .filter(({ to }) => to === worker)
        .map(({ from, ring }) => watch(ring, `the ring by which worker ${from} hands packets over`)),
    ];
  }

  /** Looks at all workers. @returns for each why it is stuck, undefined when it is not */
  look(nowMs: number, timeoutMs: number): (string | undefined)[] {
    return this.#workers.map((each, worker) => {
      const silentMs = this.#silentMs(worker, nowMs);
      const waiting = each.rings.map((ring) => this.#lookAt(ring, nowMs, timeoutMs)).find(Boolean);
      if (silentMs > Math.max(timeoutMs, SLOWEST_BEAT_MS)) {
        return `its loop has stood still for ${Math.round(silentMs)} ms`;
      }
      return waiting;
    });
  }

  /**
   * Workers that have not made a pass for so long, or since somebody last looked when that is longer ago: to be asked again
   * and again.
   */
  silent(nowMs: number, limitMs: number): number[] {
    return [...this.#workers.keys()].filter((worker) => this.#silentMs(worker, nowMs) >= limitMs);
  }

  #silentMs(worker: number, nowMs: number): number {
    const { arena } = this.#engine;
    const each = this.#workers[worker]!;
    const heartbeat = arena.word(arena.workerBlock(worker) + L.WORKER_HEARTBEAT);
    if (heartbeat !== each.heartbeat) {
      each.heartbeat = heartbeat;
      each.beatAt = nowMs;
    }
    return nowMs - each.beatAt;
  }

  #lookAt(watched: Watched, nowMs: number, timeoutMs: number): string | undefined {
    const { arena } = this.#engine;
    const consumer = arena.word(watched.ring.consumer);
    const waiting = (arena.word(watched.ring.producer) - consumer) >>> 0;
    if (waiting === 0) watched.since = undefined;
    else if (consumer !== watched.consumer) watched.since = nowMs;
    else watched.since ??= nowMs;
    watched.consumer = consumer;
    const ms = nowMs - (watched.since ?? nowMs);
    if (ms <= timeoutMs) return undefined;
    return `${waiting} packets have waited in ${watched.name} for ${Math.round(ms)} ms`;
  }
}
