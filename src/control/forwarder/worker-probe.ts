// The self-test of one worker: a packet into its RX ring, and what comes out of its TX ring.
//
//   state       enters when                              leaves when
//   idle        at first; the packet is back, or lost    send()
//   under way   a frame was delivered                    collect() finds it; judge() sees that it was lost
//
// At most one packet is under way. A worker that does not take it keeps it: it is still there when the worker goes on.

import * as L from "../../../assembly/layout.ts";
import type { Engine } from "../../dataplane/engine.ts";
import type { MemoryQueue } from "../../io/memory-queue.ts";
import type { Probe, ProbeSequence } from "./probes.ts";

/** Timers come a little early. */
const EARLY_MS = 5;
/** Passes of its loop after which a worker is done with a packet that it has taken. */
const DONE_PASSES = 2;

interface UnderWay {
  probe: Probe;
  frame: number;
  sentAt: number;
  /** What was expected when it was sent. */
  expected: Uint8Array;
  /** Heartbeat when it was first seen that the worker had taken it. */
  takenAt: number | undefined;
}

/** How a probe ended: undefined for well. */
export interface ProbeResult {
  reason: string | undefined;
  /** It may be well yet: the worker, or a packet buffer, was not there in time. */
  late?: true;
}

export class WorkerProbe {
  readonly #engine: Engine;
  readonly #queue: MemoryQueue;
  readonly #worker: number;
  readonly #sequence: ProbeSequence;
  #underWay: UnderWay | undefined;
  #result: ProbeResult | undefined;
  /** Time from the last delivery to its answer as the controller saw it, microseconds. */
  lastUs: number | undefined;
  sent = 0;
  failures = 0;
  /** Those of the failures that say nothing about what becomes of a packet. */
  late = 0;
  /** Reason of the last failure. */
  lastFailure: string | undefined;

  constructor(engine: Engine, queue: MemoryQueue, worker: number, sequence: ProbeSequence) {
    this.#engine = engine;
    this.#queue = queue;
    this.#worker = worker;
    this.#sequence = sequence;
  }

  get isUnderWay(): boolean {
    return this.#underWay !== undefined;
  }

  /** Puts the next packet into the worker's ring. @returns false when one is under way, or no frame is free */
  send(nowMs: number): boolean {
    if (this.#underWay) return false;
    const frame = this.#queue.takeFrame();
    if (frame === undefined) {
      this.#result = { reason: "no packet buffer is free for the self-test", late: true };
      return false;
    }
    const probe = this.#sequence.next();
    this.#engine.arena.u8.set(probe.bytes, this.#queue.address(frame));
    const expected = probe.expected().bytes;
    this.#underWay = { probe, frame, sentAt: nowMs, expected, takenAt: undefined };
    this.sent++;
    this.#queue.deliver(this.#worker, frame, probe.bytes.length);
    return true;
  }

  /** Takes what the worker has sent back. */
  collect(nowMs: number): void {
    this.#queue.collect(this.#worker, ({ frame, start, length }) => {
      const underWay = this.#underWay;
      // Another frame is one that was given up.
      if (underWay?.frame !== frame) return;
      this.#underWay = undefined;
      this.lastUs = Math.round((nowMs - underWay.sentAt) * 1000);
      this.#result = { reason: this.#compare(underWay, this.#engine.arena.read(start, length)) };
    });
  }

  #compare({ probe, expected }: UnderWay, actual: Uint8Array): string | undefined {
    if (Buffer.compare(actual, expected) === 0) return undefined;
    // A table or a next hop may have changed while the packet was under way.
    const now = probe.expected();
    if (Buffer.compare(actual, now.bytes) === 0) return undefined;
    const wanted = now.backend === undefined ? "unchanged" : `for backend ${now.backend}`;
    if (Buffer.compare(actual, probe.bytes) === 0)
      return `${probe.what} came back unchanged, expected ${wanted}`;
    const at = now.bytes.findIndex((byte, i) => byte !== actual[i]);
    const difference =
      at < 0
        ? `has ${actual.length} bytes, expected ${now.bytes.length}`
        : `differs at byte ${at} (${actual[at] ?? "its end"}, expected ${now.bytes[at]})`;
    return `${probe.what} should come back ${wanted}, and ${difference}`;
  }

  /**
   * How the last probe ended, once for each; also when none came back in time, and then again in every round.
   * @returns undefined when there is nothing to say yet
   */
  judge(nowMs: number, timeoutMs: number): ProbeResult | undefined {
    const result = this.#result ?? this.#overdue(nowMs, timeoutMs);
    this.#result = undefined;
    if (result?.reason !== undefined) {
      this.failures++;
      this.lastFailure = result.reason;
    }
    if (result?.late) this.late++;
    return result;
  }

  #overdue(nowMs: number, timeoutMs: number): ProbeResult | undefined {
    const underWay = this.#underWay;
    if (!underWay) return undefined;
    const ms = nowMs - underWay.sentAt;
    if (ms < timeoutMs - EARLY_MS) return undefined;
    const { arena } = this.#engine;
    const heartbeat = arena.word(arena.workerBlock(this.#worker) + L.WORKER_HEARTBEAT);
    const taken = this.#queue.waiting(this.#worker) === 0;
    if (!taken) return { reason: `no answer for ${Math.round(ms)} ms: the packet was not taken`, late: true };
    underWay.takenAt ??= heartbeat;
    if ((heartbeat - underWay.takenAt) >>> 0 < DONE_PASSES) {
      return { reason: `no answer for ${Math.round(ms)} ms: the packet was taken`, late: true };
    }
    this.#underWay = undefined;
    return { reason: `${underWay.probe.what} did not come back` };
  }
}
