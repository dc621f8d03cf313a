// Workers: what each took and did, and what it cost. Nanoseconds per packet are
// rate(guideway_worker_busy_seconds_total) / rate(guideway_worker_received_packets_total) × 10⁹.

import type { Engine } from "../../dataplane/engine.ts";
import type { WorkerStatistics } from "../../dataplane/statistics.ts";
import { counter, type Family, gauge, type MetricGroup } from "./metric.ts";

type Numbers = {
  [K in keyof WorkerStatistics]: WorkerStatistics[K] extends number ? K : never;
}[keyof WorkerStatistics];

const of = (name: string, help: string) => counter(`guideway_worker_${name}`, help, "worker");

/** Counters of the arena, and what a unit of them is. */
const COUNTERS: readonly [Numbers, Family, unit: number][] = [
  [
    "packets",
    of("received_packets_total", "Packets that a worker took from its rings, those handed to it included"),
    1,
  ],
  ["bytes", of("received_bytes_total", "Bytes of those, as Ethernet frames"), 1],
  ["handed", of("handed_packets_total", "Packets that a worker handed to the one that owns their flow"), 1],
  ["batches", of("batches_total", "Batches of packets"), 1],
  ["busyNs", of("busy_seconds_total", "Time in passes that found packets, without the kernel's part"), 1e-9],
  ["kernelNs", of("kernel_seconds_total", "Time of those passes in which the kernel sent packets"), 1e-9],
  [
    "fragments",
    of("sent_fragments_total", "Fragments of outer packets that a worker sent, behind the first of each"),
    1,
  ],
  ["kicks", of("kicks_total", "System calls that asked the kernel to send"), 1],
  ["parks", of("parks_total", "Times that a worker went to sleep"), 1],
  ["traps", of("traps_total", "Batches given up because of a defect"), 1],
  ["heartbeat", of("passes_total", "Passes of its loop, modulo 2^32: one that makes none is stuck"), 1],
];
const parked = gauge("guideway_worker_parked", "1 while a worker sleeps", "worker");

const restarts = counter("guideway_worker_restarts_total", "Threads of workers that died and were replaced");

export const workerMetrics: MetricGroup<{ engine: Engine; restarts: number }> = {
  families: [...COUNTERS.map(([, family]) => family), parked, restarts],
  collect({ engine, restarts: count }, put) {
    put(restarts, count);
    // One that has never run has nothing to say.
    const { running } = engine.owners;
    for (const statistics of engine.statistics.workers()) {
      if (statistics.worker >= running && statistics.heartbeat === 0) continue;
      const labels = { worker: statistics.worker };
      for (const [key, family, unit] of COUNTERS) put(family, statistics[key] * unit, labels);
      put(parked, statistics.parked ? 1 : 0, labels);
    }
  },
};
