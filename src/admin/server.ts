// The admin socket: HTTP and JSON on a unix socket, for the commands that operate a running machine.
// Paths carry a version; errors are {"error": {"code", "message"}}.

import { lstatSync, mkdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import fastify, { type FastifyInstance } from "fastify";
import { z } from "zod";
import type { Machine } from "../control/machine.ts";
import { GuidewayError } from "../errors.ts";
import { serveConfig } from "./config.ts";

const backendState = z.strictObject({ state: z.enum(["active", "draining", "dead"]) });

/** Error code of a connection to a unix socket; undefined when somebody answers. */
function knock(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on("connect", () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "UNKNOWN"));
  });
}

/** Makes the path free: a socket that a killed process left behind goes. @throws GuidewayError ADMIN_SOCKET */
async function clear(path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return;
  if (!found.isSocket()) {
    throw new GuidewayError(
      "ADMIN_SOCKET",
      `admin.socket: ${path} exists and is no socket; name another path`,
    );
  }
  const code = await knock(path);
  if (code === "ECONNREFUSED") {
    rmSync(path, { force: true });
  } else if (code === undefined) {
    throw new GuidewayError(
      "ADMIN_SOCKET",
      `admin.socket: another guideway answers on ${path}; stop it, or give this one another path`,
    );
  } else {
    throw new GuidewayError(
      "ADMIN_SOCKET",
      `admin.socket: ${path} is in the way, and does not say whose it is (${code})`,
    );
  }
}

export class AdminServer {
  readonly #server: FastifyInstance;

  private constructor(machine: Machine) {
    this.#server = fastify({ forceCloseConnections: true, routerOptions: { maxParamLength: 1024 } });
    this.#server.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
      const unknown = error instanceof GuidewayError && error.code === "UNKNOWN";
      const status = error instanceof z.ZodError ? 400 : unknown ? 404 : (error.statusCode ?? 500);
      const code = error instanceof GuidewayError ? error.code : status < 500 ? "BAD_REQUEST" : "INTERNAL";
      const message = error instanceof z.ZodError ? z.prettifyError(error) : error.message;
      return reply.status(status).send({ error: { code, message } });
    });
    this.#server.setNotFoundHandler((request, reply) =>
      reply
        .status(404)
        .send({ error: { code: "NOT_FOUND", message: `there is no ${request.method} ${request.url}` } }),
    );
    this.#server.get("/v1/status", () => machine.status());
    serveConfig(this.#server, machine);
    this.#server.get("/v1/frames", () => machine.auditFrames());
    this.#server.get<{ Params: { pool: string } }>("/v1/pools/:pool/table", ({ params }) =>
      machine.table(params.pool),
    );
    this.#server.put<{ Params: { pool: string; backend: string } }>(
      "/v1/pools/:pool/backends/:backend/state",
      ({ params, body }) => {
        const { state } = backendState.parse(body);
        machine.setBackendState(params.pool, params.backend, state);
        return { pool: params.pool, backend: params.backend, state };
      },
    );
  }

  /** @throws GuidewayError ADMIN_SOCKET when the path is taken or cannot be bound */
  static async listen(machine: Machine, path: string): Promise<AdminServer> {
    const server = new AdminServer(machine);
    try {
      await clear(path);
      // Created for its owner alone: a mode that is changed later would leave a moment for others.
      const umask = process.umask(0o177);
      try {
        await server.#server.listen({ path });
      } finally {
        process.umask(umask);
      }
    } catch (cause) {
      if (cause instanceof GuidewayError) throw cause;
      throw new GuidewayError(
        "ADMIN_SOCKET",
        `admin.socket: cannot listen on ${path}: ${(cause as Error).message}`,
        { cause },
      );
    }
    return server;
  }

  async close(): Promise<void> {
    await this.#server.close();
  }
}
