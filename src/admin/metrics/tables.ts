// Lookup tables: how large, how often and how fast they are built, and what was published.

import type { Engine } from "../../dataplane/engine.ts";
import { counter, gauge, type MetricGroup } from "./metric.ts";

const epoch = gauge(
  "guideway_table_epoch",
  "Publications so far, of lookup tables and of services: changes when workers get something new",
);
const retired = gauge(
  "guideway_table_retired_blocks",
  "Blocks that were replaced but that a worker may still read",
);
const slots = gauge(
  "guideway_table_slots",
  "Slots of a pool's lookup table; 0 when it has no backend that takes flows",
  "pool",
);
const builds = counter("guideway_table_builds_total", "Lookup tables published for a pool", "pool");
const duration = gauge(
  "guideway_table_build_duration_seconds",
  "How long the last build of a pool's lookup table took",
  "pool",
);

export const tableMetrics: MetricGroup<{ engine: Engine }> = {
  families: [epoch, retired, slots, builds, duration],
  collect({ engine: { directory, publication } }, put) {
    put(epoch, publication.epoch);
    put(retired, publication.retired);
    for (const pool of directory.poolNames) {
      const table = directory.table(pool);
      put(slots, table.slots.length, { pool });
      put(builds, table.generation, { pool });
      put(duration, table.buildMs / 1000, { pool });
    }
  },
};
