// GET /v1/audit: what was changed, by whom and when.

import { z } from "zod";
import type { AuditEntry } from "../../control/history.ts";
import { type App, answers } from "../route.ts";

const entry = z.strictObject({
  at: z.iso.datetime(),
  by: z.enum(["start", "command", "api", "signal", "file"]),
  user: z.string().optional().describe("What a command says who called it: not proven."),
  action: z.string(),
  target: z.string().describe("A file, or pool/backend."),
  outcome: z.enum(["applied", "unchanged", "refused", "rolled back"]),
  detail: z.string().describe("What changed, or why it did not."),
});

export function auditRoute(app: App, machine: { audit(limit: number): AuditEntry[] }): void {
  app.get(
    "/v1/audit",
    {
      schema: {
        summary: "Changes since the start, oldest first",
        querystring: z.strictObject({
          limit: z.coerce
            .number()
            .int()
            .min(1)
            .max(1000)
            .default(100)
            .describe("At most so many, the latest."),
        }),
        response: answers(z.strictObject({ entries: z.array(entry) }).describe("The changes")),
      },
    },
    ({ query }) => ({ entries: machine.audit(query.limit) }),
  );
}
