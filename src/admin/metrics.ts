// All metrics. A new group is a file in metrics/ and a line here; docs/metrics.md is written from it.

import { backendMetrics } from "./metrics/backends.ts";
import { checkMetrics } from "./metrics/checks.ts";
import { conntrackMetrics } from "./metrics/conntrack.ts";
import { controllerMetrics } from "./metrics/controller.ts";
import { forwarderMetrics } from "./metrics/forwarder.ts";
import { interfaceMetrics } from "./metrics/interfaces.ts";
import type { MetricGroup } from "./metrics/metric.ts";
import { packetMetrics } from "./metrics/packets.ts";
import { processMetrics } from "./metrics/process.ts";
import { ringMetrics } from "./metrics/rings.ts";
import { tableMetrics } from "./metrics/tables.ts";
import { workerMetrics } from "./metrics/workers.ts";

export const METRICS = [
  packetMetrics,
  backendMetrics,
  checkMetrics,
  tableMetrics,
  conntrackMetrics,
  workerMetrics,
  ringMetrics,
  interfaceMetrics,
  forwarderMetrics,
  controllerMetrics,
  processMetrics,
] as const;

/** What the groups read, all together. */
export type MetricSource = (typeof METRICS)[number] extends MetricGroup<infer S> ? S : never;
