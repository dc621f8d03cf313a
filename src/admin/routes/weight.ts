// PUT /v1/pools/:pool/backends/:backend/weight: a backend's share of new flows.

import { z } from "zod";
import type { Origin } from "../../control/history.ts";
import { originOf } from "../origin.ts";
import { type App, answers, force } from "../route.ts";

const weight = z
  .number()
  .int()
  .min(0)
  .max(65535)
  .describe("In force until the configuration says another one, or a restart. 0 takes no new flows.");

export function weightRoute(
  app: App,
  machine: {
    setWeight(
      pool: string,
      backend: string,
      change: { weight: number; force?: boolean | undefined },
      origin: Origin,
    ): Promise<void>;
  },
): void {
  app.put(
    "/v1/pools/:pool/backends/:backend/weight",
    {
      schema: {
        summary: "Change a backend's share of new flows",
        params: z.strictObject({
          pool: z.string().describe("Name of the pool."),
          backend: z.string().describe("Name of the backend."),
        }),
        body: z.strictObject({ weight, force }),
        response: answers(z.strictObject({ pool: z.string(), backend: z.string(), weight }).describe("Done")),
      },
    },
    async (request) => {
      const { pool, backend } = request.params;
      await machine.setWeight(pool, backend, request.body, originOf(request));
      return { pool, backend, weight: request.body.weight };
    },
  );
}
