// All routes. A new one is a file in routes/ and a line here.

import type { App } from "./route.ts";
import { auditRoute } from "./routes/audit.ts";
import { backendStateRoute } from "./routes/backend-state.ts";
import { configRoute } from "./routes/config.ts";
import { framesRoute } from "./routes/frames.ts";
import { healthRoutes } from "./routes/health.ts";
import { metricsRoute } from "./routes/metrics.ts";
import { openapiRoute } from "./routes/openapi.ts";
import { reloadRoute } from "./routes/reload.ts";
import { statusRoute } from "./routes/status.ts";
import { tableRoute } from "./routes/table.ts";
import { weightRoute } from "./routes/weight.ts";
import { workersRoute } from "./routes/workers.ts";

const ROUTES = [
  statusRoute,
  configRoute,
  framesRoute,
  tableRoute,
  backendStateRoute,
  weightRoute,
  workersRoute,
  reloadRoute,
  auditRoute,
  healthRoutes,
  metricsRoute,
  openapiRoute,
] as const;

/** What the routes ask of a machine, all together. */
export type Operated = (typeof ROUTES)[number] extends (app: App, machine: infer M) => void ? M : never;

export function addRoutes(app: App, machine: Operated): void {
  for (const add of ROUTES) add(app, machine);
}
