// PUT /v1/pools/:pool/backends/:backend/state: whether a backend gets packets.

import { z } from "zod";
import type { Origin } from "../../control/history.ts";
import type { BackendState } from "../../dataplane/backend-records.ts";
import { originOf } from "../origin.ts";
import { type App, answers, force } from "../route.ts";

const state = z
  .enum(["active", "draining", "dead"])
  .describe("`draining` keeps its flows and gets no new ones; flows of a `dead` one move at once.");

export function backendStateRoute(
  app: App,
  machine: {
    setBackendState(
      pool: string,
      backend: string,
      change: { state: BackendState; force?: boolean | undefined },
      origin: Origin,
    ): Promise<void>;
  },
): void {
  app.put(
    "/v1/pools/:pool/backends/:backend/state",
    {
      schema: {
        summary: "Change whether a backend gets packets",
        params: z.strictObject({
          pool: z.string().describe("Name of the pool."),
          backend: z.string().describe("Name of the backend."),
        }),
        body: z.strictObject({ state, force }),
        response: answers(z.strictObject({ pool: z.string(), backend: z.string(), state }).describe("Done")),
      },
    },
    async (request) => {
      const { pool, backend } = request.params;
      const { state } = request.body;
      await machine.setBackendState(pool, backend, request.body, originOf(request));
      return { pool, backend, state };
    },
  );
}
