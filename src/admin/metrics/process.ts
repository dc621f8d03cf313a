// The process; the names are those that all Prometheus clients use.

import type { Engine } from "../../dataplane/engine.ts";
import { counter, gauge, type MetricGroup } from "./metric.ts";

const start = gauge("process_start_time_seconds", "Start of the process, seconds since 1970");
const cpu = counter("process_cpu_seconds_total", "CPU time of all threads, user and system");
const memory = gauge(
  "process_resident_memory_bytes",
  "Memory that is in RAM, the touched part of the arena included",
);
const arena = gauge("guideway_arena_bytes", "Size of the arena");

export const processMetrics: MetricGroup<{ engine: Engine }> = {
  families: [start, cpu, memory, arena],
  collect({ engine }, put) {
    const { user, system } = process.cpuUsage();
    put(start, performance.timeOrigin / 1000);
    put(cpu, (user + system) / 1e6);
    put(memory, process.memoryUsage.rss());
    put(arena, engine.arena.plan.bytes);
  },
};
