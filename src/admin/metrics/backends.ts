// Backends: what each gets, and what state it is in.

import type { BackendState } from "../../dataplane/backend-records.ts";
import type { Engine } from "../../dataplane/engine.ts";
import { counter, gauge, type MetricGroup } from "./metric.ts";

const STATES: readonly BackendState[] = ["active", "draining", "dead"];

const packets = counter(
  "guideway_backend_packets_total",
  "Packets forwarded to a backend",
  "pool",
  "backend",
);
const bytes = counter(
  "guideway_backend_bytes_total",
  "Bytes of those, as IP packets before any tunnel header",
  "pool",
  "backend",
);
const newFlows = counter(
  "guideway_backend_new_flows_total",
  "Flows that the lookup table gave to a backend",
  "pool",
  "backend",
);
const activeFlows = gauge(
  "guideway_backend_active_flows",
  "Flows in the connection table that are not closing: the backend's connections",
  "pool",
  "backend",
);
const state = gauge(
  "guideway_backend_state",
  "1 for the state that a backend is in",
  "pool",
  "backend",
  "state",
);
const weight = gauge("guideway_backend_weight", "Weight of a backend in its pool", "pool", "backend");
const share = gauge(
  "guideway_backend_share_ratio",
  "Part of its pool's lookup table that a backend has",
  "pool",
  "backend",
);

export const backendMetrics: MetricGroup<{ engine: Engine }> = {
  families: [packets, bytes, newFlows, activeFlows, state, weight, share],
  collect({ engine: { directory, statistics } }, put) {
    for (const pool of directory.poolNames) {
      const table = directory.table(pool);
      for (const backend of directory.backendsOf(pool)) {
        const labels = { pool, backend: backend.config.name };
        const traffic = statistics.backend(backend.id);
        put(packets, traffic.packets, labels);
        put(bytes, traffic.bytes, labels);
        put(newFlows, traffic.newFlows, labels);
        put(activeFlows, traffic.activeFlows, labels);
        for (const each of STATES) put(state, backend.state === each ? 1 : 0, { ...labels, state: each });
        put(weight, backend.weight, labels);
        put(share, table.share(backend.id), labels);
      }
    }
  },
};
