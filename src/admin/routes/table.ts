// GET /v1/pools/:pool/table: the lookup table that the workers use.

import { z } from "zod";
import type { TableStatus } from "../../control/status.ts";
import { type App, answers, count } from "../route.ts";

const body = z
  .strictObject({
    pool: z.string(),
    size: count("Slots, as configured."),
    digest: z.string().describe("SHA-256 of size and entries: equal on machines with equal tables."),
    entries: z
      .array(z.string())
      .describe("Names of the backends in slot order; empty when none takes flows."),
  })
  .describe("The table");

export function tableRoute(app: App, machine: { table(pool: string): TableStatus }): void {
  app.get(
    "/v1/pools/:pool/table",
    {
      schema: {
        summary: "The lookup table of a pool",
        params: z.strictObject({ pool: z.string().describe("Name of the pool.") }),
        response: answers(body),
      },
    },
    ({ params }) => machine.table(params.pool),
  );
}
