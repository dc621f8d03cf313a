// The configuration in force: GET /v1/config.

import type { FastifyInstance } from "fastify";
import type { Machine } from "../control/machine.ts";

export type RunningConfig = Machine["running"];

export function serveConfig(server: FastifyInstance, machine: Pick<Machine, "running">): void {
  server.get("/v1/config", () => machine.running);
}
