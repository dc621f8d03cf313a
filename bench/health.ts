// `bench health`: many backends at one check a second each, on the loopback, from the one thread that does it. The
// backends are a process of their own, so the thread's processor time is that of the checks; the kernel's part of it
// includes both ends of each connection.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { entryFile } from "../src/entry.ts";
import { GuidewayError } from "../src/errors.ts";
import {
  type HealthChange,
  HealthMonitor,
  type HealthTarget,
  type HealthTotals,
} from "../src/health/monitor.ts";
import { createLogger } from "../src/log.ts";
import { quantile, rounded } from "../src/quantiles.ts";
import { isHttp, type ListenersAnswer, type ListenersOrder, locate } from "./health/address.ts";
import { isWanted } from "./profile/profiler.ts";
import type { SuiteOptions } from "./suite.ts";

const SIZES = { backends: 10_000, warmMs: 4000, measureMs: 15_000 };
const QUICK = { backends: 500, warmMs: 1500, measureMs: 2000 };
const SCHEDULE = { interval: 1000, jitter: 100, timeout: 1000, rise: 2, fall: 3 };
/** Part of the backends that stop. */
const STOPPING = 0.01;
const LIMIT_MS = 60_000;

interface Distribution {
  p50: number;
  p99: number;
  max: number;
}

export interface HealthResult {
  backends: number;
  intervalMs: number;
  timeoutMs: number;
  fall: number;
  seconds: number;
  checksPerSecond: number;
  failed: number;
  missed: number;
  /** Of one core, by the prober's thread. */
  cpuShare: { user: number; system: number };
  cpuUsPerCheck: number;
  /** From a check's turn to its start: upper bounds of histogram buckets. */
  latenessMs: Distribution;
  latencyMs: Distribution;
  /** From the closing of a backend's port to onChange. */
  detectionMs: Distribution & { backends: number };
}

/** @throws GuidewayError BENCH when backends cannot be started, or those that stop are not found */
export async function benchHealth({ quick, say }: SuiteOptions): Promise<HealthResult> {
  const { backends, warmMs, measureMs } = quick ? QUICK : SIZES;
  const child = fork(entryFile(import.meta.url, "./health/listeners"), {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const changed: { change: HealthChange; told: number }[] = [];
  let wake = () => {};
  const monitor = new HealthMonitor({
    log: createLogger({ level: "warn" }),
    ...(isWanted() && { prober: entryFile(import.meta.url, "./profile/prober") }),
    onChange(changes) {
      const told = Date.now();
      for (const change of changes) changed.push({ change, told });
      wake();
    },
  });
  const until = (holds: () => boolean) =>
    new Promise<void>((resolve, reject) => {
      const late = setTimeout(
        () => reject(new GuidewayError("BENCH", "the changes of health did not come")),
        LIMIT_MS,
      );
      wake = () => {
        if (!holds()) return;
        clearTimeout(late);
        resolve();
      };
      wake();
    });
  try {
    say(`${backends} listeners`);
    await ask(child, { start: backends });
    say("first checks");
    monitor.apply(Array.from({ length: backends }, (_, index) => target(index)));
    await until(() => changed.length >= backends);
    await pause(warmMs);
    say("measuring");
    const [before, startedAt] = [monitor.totals(), performance.now()];
    await pause(measureMs);
    const [after, seconds] = [monitor.totals(), (performance.now() - startedAt) / 1000];
    changed.length = 0;
    const stopping = Array.from(
      { length: backends * STOPPING },
      (_, index) => Math.floor(index / STOPPING) + (index % 2),
    );
    say(`stopping ${stopping.length}`);
    const { stopped } = (await ask(child, { stop: stopping })) as { stopped: number[] };
    const stoppedAt = new Map(stopping.map((index, at) => [String(index), stopped[at]!]));
    await until(() => stopping.every((index) => monitor.status("bench", String(index))?.state === "down"));
    const took: number[] = [];
    for (const { change, told } of changed) {
      const at = stoppedAt.get(change.backend);
      if (at !== undefined && !change.healthy) took.push(told - at);
    }
    return result(backends, seconds, before, after, took);
  } finally {
    await monitor.stop();
    // Waited for, so that its processor time counts as ours.
    const gone = child.exitCode === null ? once(child, "exit") : undefined;
    if (child.connected) child.disconnect();
    await gone;
  }
}

function target(index: number): HealthTarget {
  const { host, port } = locate(index);
  const schedule = { ...SCHEDULE, port, initial: "first-result", via: "direct" } as const;
  return {
    pool: "bench",
    backend: String(index),
    address: host,
    check: isHttp(index)
      ? { ...schedule, type: "http", method: "GET", path: "/healthz", status: [[200, 200]] }
      : { ...schedule, type: "tcp" },
  };
}

function result(
  backends: number,
  seconds: number,
  before: HealthTotals,
  after: HealthTotals,
  took: number[],
): HealthResult {
  const checks = after.passed + after.failed - before.passed - before.failed;
  const [user, system] = [after.cpuUserUs - before.cpuUserUs, after.cpuSystemUs - before.cpuSystemUs];
  const buckets = (name: "lateness" | "latency") =>
    fromBuckets(
      after.bucketsMs,
      after[name].map((count, at) => count - before[name][at]!),
    );
  return {
    backends,
    intervalMs: SCHEDULE.interval,
    timeoutMs: SCHEDULE.timeout,
    fall: SCHEDULE.fall,
    seconds: rounded(seconds),
    checksPerSecond: Math.round(checks / seconds),
    failed: after.failed - before.failed,
    missed: after.missed - before.missed,
    cpuShare: { user: rounded(user / 1e6 / seconds, 3), system: rounded(system / 1e6 / seconds, 3) },
    cpuUsPerCheck: rounded((user + system) / checks, 3),
    latenessMs: buckets("lateness"),
    latencyMs: buckets("latency"),
    detectionMs: {
      p50: Math.round(quantile(took, 0.5)),
      p99: Math.round(quantile(took, 0.99)),
      max: Math.max(...took),
      backends: took.length,
    },
  };
}

/** Upper bounds of the buckets that hold the median, the 99th of 100 and the greatest. */
function fromBuckets(bounds: readonly number[], counts: readonly number[]): Distribution {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const at = (share: number): number => {
    let below = 0;
    for (const [bucket, count] of counts.entries()) {
      below += count;
      if (below >= share * total) return bounds[bucket]!;
    }
    return Number.NaN;
  };
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

async function ask(child: ChildProcess, order: ListenersOrder): Promise<ListenersAnswer> {
  child.send(order);
  const [answer] = (await Promise.race([
    once(child, "message"),
    once(child, "exit").then(([code]) => [{ failed: `the process of the listeners ended with ${code}` }]),
  ])) as [ListenersAnswer];
  if ("failed" in answer)
    throw new GuidewayError(
      "BENCH",
      `the backends of bench health: ${answer.failed} (see ulimit -n: each needs two descriptors)`,
    );
  return answer;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
