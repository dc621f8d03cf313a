// The HTTP side of the admin API: what all routes have in common. Bodies are JSON, paths carry a version, errors
// are {"error": {"code", "message"}}.

import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { SecureContextOptions, TlsOptions } from "node:tls";
import fastify, { type FastifyReply, type FastifyRequest } from "fastify";
import { hasZodFastifySchemaValidationErrors, validatorCompiler } from "fastify-type-provider-zod";
import { GuidewayError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { admit, type Entrance } from "./access.ts";
import { describe } from "./openapi.ts";
import type { App } from "./route.ts";
import { addRoutes, type Operated } from "./routes.ts";

/** A request is whole after this time, or over. */
const REQUEST_MS = 30_000;
/** Clients of one entrance at a time; a scraper and a few people need a handful. */
const MAX_CONNECTIONS = 128;

export interface AppOptions {
  /** Read at every request: a new token counts from then on. */
  entrance: Entrance;
  log: Logger;
  tls?: (SecureContextOptions & TlsOptions) | undefined;
}

export async function createApp(machine: Operated, { entrance, log, tls }: AppOptions): Promise<App> {
  const app = fastify({
    serverFactory: (handler) => {
      const server = tls ? createSecureServer(tls, handler) : createServer(handler);
      server.maxConnections = MAX_CONNECTIONS;
      server.requestTimeout = REQUEST_MS;
      return server;
    },
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 1024 },
    // For URLs that are no URLs, which no hook sees.
    frameworkErrors: (error, request, reply) => void answerError(error, request, reply, log),
  }) as unknown as App;
  app.setValidatorCompiler(validatorCompiler);
  // The document's schemas are checked against real answers by the tests, not at every answer.
  app.setSerializerCompiler(() => JSON.stringify);
  acceptJsonOnly(app);
  app.decorateRequest("trusted", false);
  app.addHook("onRequest", (request, reply, done) => guard(entrance, request, reply, done));
  app.setErrorHandler((error: Error, request, reply) => answerError(error, request, reply, log));
  app.setNotFoundHandler((request, reply) =>
    reply
      .status(404)
      .send({ error: { code: "NOT_FOUND", message: `there is no ${request.method} ${request.url}` } }),
  );
  await describe(app);
  addRoutes(app, machine);
  await app.ready();
  return app;
}

/** JSON, or nothing at all where a route takes no body. */
function acceptJsonOnly(app: App): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "string" }, (request, body, done) => {
    if (body === "") done(null, undefined);
    else void parse(request, body as string, done);
  });
}

function guard(entrance: Entrance, request: FastifyRequest, reply: FastifyReply, done: () => void): void {
  reply.header("cache-control", "no-store").header("x-content-type-options", "nosniff");
  const { host, authorization } = request.headers;
  const answer = admit(entrance, {
    method: request.method,
    host,
    authorization,
    contentType: request.headers["content-type"],
    open: request.routeOptions.config.open === true,
  });
  if (answer.allowed) {
    request.trusted = answer.trusted;
    done();
    return;
  }
  if (answer.status === 401) reply.header("www-authenticate", "Bearer");
  const { status, code, message } = answer;
  reply.status(status).send({ error: { code, message } });
}

/** Errors that say more than that something failed: not there, not valid, not now. */
const STATUSES: Readonly<Record<string, number>> = {
  UNKNOWN: 404,
  CONFIG: 422,
  RESTART_NEEDED: 409,
  ADMIN_RESTART: 409,
  MAX_MOVED: 409,
  LAST_BACKEND: 409,
  ROLLED_BACK: 409,
  STOPPING: 409,
  CAPACITY: 409,
  TABLE_HEAP: 409,
};

function answerError(
  error: Error & { statusCode?: number },
  request: FastifyRequest,
  reply: FastifyReply,
  log: Logger,
): FastifyReply {
  if (hasZodFastifySchemaValidationErrors(error)) {
    const { validation, validationContext } = error;
    const issues = validation.map(({ instancePath, message }) => {
      const path = [validationContext, ...instancePath.split("/")].filter(Boolean).join(".");
      return `${path}: ${message}`;
    });
    return reply.status(400).send({ error: { code: "BAD_REQUEST", message: issues.join("; ") } });
  }
  if (error instanceof GuidewayError) {
    return reply
      .status(STATUSES[error.code] ?? 500)
      .send({ error: { code: error.code, message: error.message } });
  }
  const status = error.statusCode ?? 500;
  if (status >= 500)
    log.error({ err: error, method: request.method, url: request.url }, "admin request failed");
  const code = status < 500 ? "BAD_REQUEST" : "INTERNAL";
  return reply.status(status).send({ error: { code, message: error.message } });
}
