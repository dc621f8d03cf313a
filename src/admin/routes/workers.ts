// PUT /v1/workers: how many workers forward.

import { z } from "zod";
import { MAX_WORKERS } from "../../../assembly/layout.ts";
import type { Origin } from "../../control/history.ts";
import { originOf } from "../origin.ts";
import { type App, answers } from "../route.ts";

const workers = z
  .number()
  .int()
  .min(1)
  .max(MAX_WORKERS)
  .describe(
    "In force until the configuration says another number, or a restart. At most what the machine was started for (workerCapacity " +
      "of the status).",
  );

export function workersRoute(
  app: App,
  machine: { resize(workers: number, origin: Origin): Promise<void> },
): void {
  app.put(
    "/v1/workers",
    {
      schema: {
        summary: "Change the number of workers",
        body: z.strictObject({ workers }),
        response: answers(z.strictObject({ workers }).describe("Done")),
      },
    },
    async (request) => {
      await machine.resize(request.body.workers, originOf(request));
      return { workers: request.body.workers };
    },
  );
}
