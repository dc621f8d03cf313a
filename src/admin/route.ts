// What a route is made of: a file in routes/ exports a function that adds one resource to the app, and names what it
// asks of the machine. The schemas that it declares are what requests are checked by, and what GET /v1/openapi.json
// and docs/api.md say.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { FastifyBaseLogger, FastifyInstance, RawServerBase } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";

export type App = FastifyInstance<
  RawServerBase,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

declare module "fastify" {
  interface FastifyRequest {
    /** Whether whoever asks may hear details. */
    trusted: boolean;
  }
  interface FastifyContextConfig {
    /** Everybody may ask this, with or without the token. */
    open?: boolean;
  }
}

/** The body of every refusal. */
export const refusal = z
  .strictObject({
    error: z.strictObject({
      code: z.string().describe("Stable: programs may rely on it."),
      message: z.string().describe("For people."),
    }),
  })
  .describe("Refused or failed");

/** Answers of a route: what it says when all is well, and the refusal that any route may give. */
export function answers<T extends z.ZodType>(ok: T): { 200: T; default: typeof refusal } {
  return { 200: ok, default: refusal };
}

export const count = (description: string) => z.number().int().nonnegative().describe(description);

/** Of a request that takes new flows away from a backend. */
export const force = z
  .boolean()
  .optional()
  .describe("Whether to do it also where no backend of the pool is left that takes new flows.");
