// GET /v1/openapi.json: this API, described.

import { z } from "zod";
import { type App, answers } from "../route.ts";

export function openapiRoute(app: App, _machine: unknown): void {
  app.get(
    "/v1/openapi.json",
    {
      schema: {
        summary: "This document",
        response: answers(z.looseObject({ openapi: z.string() }).describe("OpenAPI 3.1")),
      },
    },
    () => app.swagger() as { openapi: string },
  );
}
