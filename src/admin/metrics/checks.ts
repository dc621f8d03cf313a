// Health checks: what they found, and how they get along.

import type { Engine } from "../../dataplane/engine.ts";
import type { HealthStatus, HealthTotals } from "../../health/monitor.ts";
import { counter, gauge, type MetricGroup } from "./metric.ts";

const up = gauge(
  "guideway_backend_up",
  "Whether a backend's health checks pass; backends that are not checked have no sample",
  "pool",
  "backend",
);
const latency = gauge(
  "guideway_backend_check_latency_seconds",
  "How long the last check of a backend took",
  "pool",
  "backend",
);
const failures = counter(
  "guideway_backend_check_failures_total",
  "Checks of a backend that failed",
  "pool",
  "backend",
);
const results = counter(
  "guideway_checks_total",
  "Checks by what came of them; inconclusive ones change nothing",
  "result",
);
const missed = counter(
  "guideway_checks_missed_total",
  "Turns that passed by because an earlier check of the target was still under way",
);
const running = gauge("guideway_checks_running", "Checks under way");
const cpu = counter("guideway_checks_cpu_seconds_total", "Processor time of the thread that checks");
const restarts = counter("guideway_checks_restarts_total", "Restarts of the thread that checks");

export interface Checking {
  engine: Engine;
  checkTotals(): HealthTotals;
  checkOf(pool: string, backend: string): HealthStatus | undefined;
}

export const checkMetrics: MetricGroup<Checking> = {
  families: [up, latency, failures, results, missed, running, cpu, restarts],
  collect(source, put) {
    const { directory } = source.engine;
    for (const pool of directory.poolNames) {
      for (const { config } of directory.backendsOf(pool)) {
        const status = source.checkOf(pool, config.name);
        if (!status || status.state === "unknown") continue;
        const labels = { pool, backend: config.name };
        put(up, status.state === "up" ? 1 : 0, labels);
        put(latency, status.lastLatencyMs / 1000, labels);
        put(failures, status.failures, labels);
      }
    }
    const totals = source.checkTotals();
    for (const result of ["passed", "failed", "inconclusive"] as const)
      put(results, totals[result], { result });
    put(missed, totals.missed);
    put(running, totals.running);
    put(cpu, (totals.cpuUserUs + totals.cpuSystemUs) / 1e6);
    put(restarts, totals.restarts);
  },
};
