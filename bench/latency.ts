// `bench latency`: what a worker adds to a packet that comes alone, and what an idle worker costs. The real pool and thread, rings
// in memory: from the moment that the packet is shown in RX until it is in TX, as a thread sees it that does nothing but look.
//
//   parked   the worker sleeps when the packet comes, and is woken
//   polling  it looks at its rings all the time
//
// With sockets a worker sleeps in ppoll and the kernel wakes it; without, it sleeps in Atomics.wait and is woken by
// Atomics.notify. Both end in a futex or a wait queue of the kernel, whose cost is most of what is measured.

import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { WorkerPool } from "../src/dataplane/pool.ts";
import { GuidewayError } from "../src/errors.ts";
import { quantile, rounded } from "../src/quantiles.ts";
import { LatencyBed } from "./latency/bed.ts";
import { Tasks } from "./latency/tasks.ts";
import { workerFile } from "./profile/worker-file.ts";
import type { SuiteOptions } from "./suite.ts";

/** Packets of each case, and the pause before each: longer than a worker polls. */
const PACKETS = 2000;
const QUICK_PACKETS = 100;
const PAUSE_MS = 3;
const WARM = 50;
/** Polling for as long as it takes. */
const ALWAYS_US = 1e9;
const START_MS = 10_000;
const BELOW_US = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
const SETTLE_MS = 500;
const IDLE_MS = 5000;
const QUICK_IDLE_MS = 1000;
const TARGET_SHARE = 0.02;

export interface LatencyCase {
  name: "parked" | "polling";
  packets: number;
  us: { p50: number; p90: number; p99: number; max: number };
  /** Up to the largest that occurred; null stands for more than any bound. */
  histogram: { belowUs: number | null; packets: number }[];
}

export interface LatencyResult {
  cases: LatencyCase[];
  idle: {
    workers: number;
    seconds: number;
    /** Processor time of a worker's thread, kernel included, in cores: mean, and of the one with most. */
    share: number;
    most: number;
    targetShare: number;
  };
}

/** @throws GuidewayError BENCH when a packet does not leave or a worker does not sleep */
export async function benchLatency({ quick, say, workers }: SuiteOptions): Promise<LatencyResult> {
  const packets = quick ? QUICK_PACKETS : PACKETS;
  say("parked");
  const parked = await one("parked", packets);
  say("polling");
  const polling = await one("polling", packets);
  say("idle");
  const idle = await idleShare(workers ?? availableParallelism(), quick ? QUICK_IDLE_MS : IDLE_MS);
  return { cases: [parked, polling], idle };
}

/** Waits until all of its workers have made a pass. */
async function started(bed: LatencyBed): Promise<void> {
  for (
    const from = performance.now();
    !bed.workers().every(({ heartbeat }) => heartbeat > 0);
    await sleep(1)
  ) {
    if (performance.now() - from > START_MS)
      throw new GuidewayError("BENCH", `the workers have not started in ${START_MS / 1000} s`);
  }
}

async function one(name: LatencyCase["name"], packets: number): Promise<LatencyCase> {
  const bed = new LatencyBed(1);
  const pool = new WorkerPool(bed.engine, {
    spinUs: name === "parked" ? 0 : ALWAYS_US,
    file: workerFile(name),
  });
  const us: number[] = [];
  try {
    await started(bed);
    for (let i = 0; i < WARM + packets; i++) {
      await sleep(PAUSE_MS);
      const { parks } = bed.workers()[0]!;
      if (name === "parked" ? !bed.workers()[0]!.parked : parks > 0) {
        // It happens that it looks around just now.
        if (name === "parked") continue;
        throw new GuidewayError("BENCH", "a worker that was to poll has slept");
      }
      const took = bed.send(() => pool.wake(0));
      if (i >= WARM) us.push(took);
    }
  } finally {
    await pool.stop();
  }
  bed.check();
  return {
    name,
    packets: us.length,
    us: {
      p50: rounded(quantile(us, 0.5), 3),
      p90: rounded(quantile(us, 0.9), 3),
      p99: rounded(quantile(us, 0.99), 3),
      max: rounded(Math.max(...us), 3),
    },
    histogram: histogramOf(us),
  };
}

function histogramOf(us: readonly number[]): LatencyCase["histogram"] {
  const bounds = [...BELOW_US, Number.POSITIVE_INFINITY];
  const all = bounds.map((bound, i) => ({
    belowUs: Number.isFinite(bound) ? bound : null,
    packets: us.filter((each) => each < bound && each >= (bounds[i - 1] ?? 0)).length,
  }));
  const last = all.findLastIndex(({ packets }) => packets > 0);
  return all.slice(
    all.findIndex(({ packets }) => packets > 0),
    last + 1,
  );
}

async function idleShare(workers: number, millis: number): Promise<LatencyResult["idle"]> {
  const bed = new LatencyBed(workers);
  const tasks = new Tasks();
  const pool = new WorkerPool(bed.engine, { file: workerFile("idle") });
  try {
    await started(bed);
    await sleep(SETTLE_MS);
    const before = bed.workers();
    const shares = await tasks.shares(millis);
    const after = bed.workers();
    if (after.some(({ parks }, i) => parks === before[i]!.parks))
      throw new GuidewayError("BENCH", "a worker without packets has not slept");
    const total = shares.reduce((sum, share) => sum + share, 0);
    return {
      workers,
      seconds: millis / 1000,
      share: rounded(total / workers, 2),
      most: rounded(Math.max(...shares), 2),
      targetShare: TARGET_SHARE,
    };
  } finally {
    await pool.stop();
  }
}
