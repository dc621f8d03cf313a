// Who asks for a change, for the audit log.

import type { FastifyRequest } from "fastify";
import type { Origin } from "../control/history.ts";

/** Header by which the commands name their user. It proves nothing: whoever may change things may write anything. */
export const USER_HEADER = "x-guideway-user";

export function originOf(request: Pick<FastifyRequest, "headers">): Origin {
  const user = request.headers[USER_HEADER];
  if (typeof user !== "string") return { by: "api" };
  return { by: "command", user: user.replace(/[^!-~]/g, "?").slice(0, 64) };
}
