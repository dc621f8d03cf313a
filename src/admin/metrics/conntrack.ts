// The connection table.

import * as L from "../../../assembly/layout.ts";
import type { Engine } from "../../dataplane/engine.ts";
import type { WorkerStatistics } from "../../dataplane/statistics.ts";
import { counter, gauge, type MetricGroup } from "./metric.ts";

const entries = gauge(
  "guideway_conntrack_entries",
  "Flows in the connection table, with those that have expired and were not visited yet",
);
const capacity = gauge("guideway_conntrack_capacity_entries", "Flows that the connection table has room for");
const evicted = counter(
  "guideway_conntrack_evicted_total",
  "Flows that had to make room for others: more of them than the table holds",
);
const expired = counter("guideway_conntrack_expired_total", "Flows that the sweep took out");

export const conntrackMetrics: MetricGroup<{ engine: Engine }> = {
  families: [entries, capacity, evicted, expired],
  collect({ engine: { arena, statistics } }, put) {
    const workers = statistics.workers();
    const sum = (key: keyof WorkerStatistics) => workers.reduce((sum, each) => sum + Number(each[key]), 0);
    put(entries, sum("entries"));
    put(capacity, L.SHARDS * arena.plan.shardLines * L.WAYS);
    put(evicted, sum("evicted"));
    put(expired, sum("expired"));
  },
};
