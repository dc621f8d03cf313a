// What the kernel could not hand over, by its own count (XDP_STATISTICS): packets that found a socket's RX ring full or no
// frame to lie in. Some of that is overload, which withdrawing a machine would only move to the others: it is a warning.
// Only when most packets are lost for long does the forwarder count as failed.

import type { SocketStatistics } from "../../native.ts";

/** Least time between two looks. */
const LOOK_MS = 1000;
/** Share of packets lost between two looks that is worth a warning, and least number of them. */
const DEGRADED_SHARE = 0.01;
const DEGRADED_PACKETS = 100;
/** Share that is no service any more, and for how long. */
const FAILED_SHARE = 0.5;
const FAILED_MS = 10_000;

export interface LossSource {
  /** By interface; counts since the start. */
  kernel: () => { name: string; statistics: SocketStatistics }[];
  /** Packets that all workers have received since the start. */
  received: () => number;
}

interface Count {
  rxDropped: number;
  rxRingFull: number;
  rxFillRingEmpty: number;
}

/**
 * `rx_dropped` counts packets that found no frame or did not fit one, `rx_ring_full` those for which there was no room. That
 * a FILL ring was empty says why; it is no count of packets: drivers ask in vain while nothing is lost.
 */
const WORDS: Record<keyof Count, string> = {
  rxDropped: "packets found no frame, or did not fit one",
  rxRingFull: "packets found an RX ring full",
  rxFillRingEmpty: "times a FILL ring was empty",
};

export class Losses {
  readonly #source: LossSource;
  #lookedAt: number;
  #received = 0;
  #before = new Map<string, Count>();
  #failedSince: number | undefined;
  /** Warnings of the last look. */
  degraded: string[] = [];
  /** Why the forwarder failed; undefined when it did not. */
  failed: string | undefined;

  constructor(source: LossSource, nowMs: number) {
    this.#source = source;
    this.#lookedAt = nowMs;
    this.#delta();
  }

  /** What was counted since the last call. */
  #delta(): { received: number; lost: Map<string, Count> } {
    const received = this.#source.received();
    const lost = new Map<string, Count>();
    for (const { name, statistics } of this.#source.kernel()) {
      const { rxDropped, rxRingFull, rxFillRingEmpty } = statistics;
      const before = this.#before.get(name) ?? { rxDropped: 0, rxRingFull: 0, rxFillRingEmpty: 0 };
      this.#before.set(name, { rxDropped, rxRingFull, rxFillRingEmpty });
      lost.set(name, {
        rxDropped: rxDropped - before.rxDropped,
        rxRingFull: rxRingFull - before.rxRingFull,
        rxFillRingEmpty: rxFillRingEmpty - before.rxFillRingEmpty,
      });
    }
    const delta = { received: received - this.#received, lost };
    this.#received = received;
    return delta;
  }

  look(nowMs: number): void {
    if (nowMs - this.#lookedAt < LOOK_MS) return;
    const ms = Math.round(nowMs - this.#lookedAt);
    this.#lookedAt = nowMs;
    const { received, lost } = this.#delta();
    const all = [...lost.values()].reduce((sum, count) => sum + count.rxDropped + count.rxRingFull, 0);
    const share = all / Math.max(1, all + received);
    const isMuch = all >= DEGRADED_PACKETS && share >= DEGRADED_SHARE;
    this.degraded = isMuch
      ? [...lost].flatMap(([name, count]) =>
          (Object.keys(WORDS) as (keyof Count)[])
            .filter((key) => count[key] > 0)
            .map((key) => `${name}: ${count[key]} ${WORDS[key]}, in ${ms} ms`),
        )
      : [];
    if (isMuch && share >= FAILED_SHARE) this.#failedSince ??= nowMs - ms;
    else this.#failedSince = undefined;
    const failedMs = nowMs - (this.#failedSince ?? nowMs);
    this.failed =
      failedMs >= FAILED_MS
        ? `the kernel has lost ${Math.round(share * 100)}% of all packets for ${Math.round(failedMs / 1000)} s`
        : undefined;
  }
}
