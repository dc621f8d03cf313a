// The machine's tests of itself (docs/forwarder.md).

import type { ForwarderStatus } from "../../control/forwarder/forwarder-health.ts";
import { counter, gauge, type MetricGroup } from "./metric.ts";

const healthy = gauge("guideway_forwarder_healthy", "1 while the machine forwards, by its own tests");
const probes = counter("guideway_forwarder_probes_total", "Packets that tested a worker", "worker");
const failures = counter(
  "guideway_forwarder_probe_failures_total",
  "Tests of a worker that failed",
  "worker",
);
const seconds = gauge(
  "guideway_forwarder_probe_seconds",
  "Time from sending the last answered test packet to seeing its answer",
  "worker",
);
const verified = counter("guideway_forwarder_verified_bytes_total", "Bytes of the arena that were compared");
const corrupted = counter(
  "guideway_forwarder_corruptions_total",
  "Parts of the arena that were found damaged",
);

export const forwarderMetrics: MetricGroup<{ forwarder: { status(): ForwarderStatus } }> = {
  families: [healthy, probes, failures, seconds, verified, corrupted],
  collect({ forwarder }, put) {
    const status = forwarder.status();
    put(healthy, status.healthy ? 1 : 0);
    put(verified, status.tables.verified);
    put(corrupted, status.tables.corrupted);
    for (const { worker, probes: sent, failures: failed, lastProbeUs } of status.workers) {
      put(probes, sent, { worker });
      put(failures, failed, { worker });
      if (lastProbeUs !== undefined) put(seconds, lastProbeUs / 1e6, { worker });
    }
  },
};
