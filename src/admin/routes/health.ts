// GET /healthz and GET /readyz, for whoever restarts processes and whoever sends traffic. Open to all: probes have no
// token. Reasons are for those who have it.

import { z } from "zod";
import type { Health, Readiness } from "../../control/readiness.ts";
import { type App, refusal } from "../route.ts";

const reasons = z.array(z.string()).describe("Why not. Empty for those who do not show the token.");
const health = z.strictObject({ healthy: z.boolean(), reasons });
const readiness = z.strictObject({ ready: z.boolean(), reasons });

export function healthRoutes(app: App, machine: { health(): Health; readiness(): Readiness }): void {
  app.get(
    "/healthz",
    {
      config: { open: true },
      schema: {
        summary: "Whether the process and its workers are alive",
        response: {
          200: health.describe("They are"),
          503: health.describe("A restart is needed"),
          default: refusal,
        },
      },
    },
    (request, reply) => {
      const { healthy, reasons } = machine.health();
      reply.status(healthy ? 200 : 503);
      return { healthy, reasons: request.trusted ? reasons : [] };
    },
  );
  app.get(
    "/readyz",
    {
      config: { open: true },
      schema: {
        summary: "Whether packets for VIPs are forwarded",
        response: {
          200: readiness.describe("They are"),
          503: readiness.describe("Not now"),
          default: refusal,
        },
      },
    },
    (request, reply) => {
      const { ready, reasons } = machine.readiness();
      reply.status(ready ? 200 : 503);
      return { ready, reasons: request.trusted ? reasons : [] };
    },
  );
}
