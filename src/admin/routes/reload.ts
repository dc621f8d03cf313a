// POST /v1/reload: another configuration, without a restart.

import { z } from "zod";
import type { Reloaded } from "../../control/changes.ts";
import type { Origin } from "../../control/history.ts";
import { originOf } from "../origin.ts";
import { type App, answers, count } from "../route.ts";

const request = z
  .strictObject({
    text: z
      .string()
      .optional()
      .describe("The configuration, YAML. Default: the file that the machine was started with, read again."),
    file: z.string().optional().describe("What messages call the text."),
    force: z.boolean().optional().describe("Whether more may move than `change.maxMoved` allows."),
  })
  .refine(({ text, file }) => file === undefined || text !== undefined, {
    path: ["file"],
    message: "only names a text, expected one in text; without both the machine's own file is read again",
  })
  .optional();

const body = z
  .strictObject({
    outcome: z.enum(["applied", "unchanged"]),
    generation: count("Configurations that were in force since the start, this one included."),
    warnings: z.array(z.string()),
    vips: z.array(
      z.strictObject({
        name: z.string(),
        change: z.enum(["added", "removed", "changed", "same"]),
        slotsMoved: z.number().describe("Part of the lookup table's slots that moved, 0 … 1."),
      }),
    ),
  })
  .describe("It is in force");

export interface Reloads {
  reload(
    request: { text?: string | undefined; file?: string | undefined; force?: boolean | undefined },
    origin: Origin,
  ): Promise<Reloaded>;
}

export function reloadRoute(app: App, machine: Reloads): void {
  app.post(
    "/v1/reload",
    {
      bodyLimit: 64 << 20,
      schema: { summary: "Put a configuration in force", body: request, response: answers(body) },
    },
    (request) => machine.reload(request.body ?? {}, originOf(request)),
  );
}
