// GET /metrics: for Prometheus.

import { z } from "zod";
import { Exposition } from "../metrics/exposition.ts";
import type { MetricSource } from "../metrics.ts";
import { type App, refusal } from "../route.ts";

export function metricsRoute(app: App, machine: MetricSource): void {
  const exposition = new Exposition(machine);
  app.get(
    "/metrics",
    {
      schema: {
        summary: "Metrics in Prometheus' text format (docs/metrics.md)",
        response: {
          200: { description: "Text format 0.0.4", content: { "text/plain": { schema: z.string() } } },
          default: refusal,
        },
      },
    },
    async (_request, reply) => {
      reply.type(exposition.contentType);
      return exposition.text();
    },
  );
}
