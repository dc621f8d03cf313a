// GET /v1/config: the configuration in force.

import { z } from "zod";
import type { OperatedMachine } from "../../control/operated.ts";
import { type App, answers, count } from "../route.ts";

export type RunningConfig = OperatedMachine["running"];

const body = z
  .strictObject({
    text: z.string().describe("YAML, as it was read."),
    file: z.string().describe("Where it was read from."),
    generation: count("1 for what the machine was started with, and one more for each that took its place."),
  })
  .describe("The configuration");

export function configRoute(app: App, machine: { readonly running: RunningConfig }): void {
  app.get(
    "/v1/config",
    { schema: { summary: "The configuration in force", response: answers(body) } },
    () => machine.running,
  );
}
