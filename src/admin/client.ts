// The other end of the admin socket, for commands.

import { Client } from "undici";
import type { MachineStatus, TableStatus } from "../control/status.ts";
import type { FrameAudit } from "../dataplane/audit.ts";
import type { BackendState } from "../dataplane/backend-records.ts";
import { GuidewayError } from "../errors.ts";
import type { RunningConfig } from "./config.ts";

const TIMEOUT_MS = 5000;

export class AdminClient {
  readonly #path: string;
  readonly #client: Client;

  constructor(path: string) {
    this.#path = path;
    this.#client = new Client("http://localhost", {
      socketPath: path,
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
      connect: { timeout: TIMEOUT_MS },
    });
  }

  async #request<T>(method: "GET" | "PUT", path: string, body?: unknown): Promise<T> {
    const response = await this.#client
      .request({
        method,
        path,
        ...(body !== undefined && {
          body: JSON.stringify(body),
          headers: { "content-type": "application/json" },
        }),
      })
      .catch((cause: Error) => {
        throw new GuidewayError(
          "NOT_RUNNING",
          `no guideway answers on ${this.#path} (${cause.message}): start one with "guideway run", or name its admin.socket by --socket`,
          { cause },
        );
      });
    const result = (await response.body.json()) as T & { error?: { code: string; message: string } };
    if (response.statusCode >= 400) {
      throw new GuidewayError(
        result.error?.code ?? "ADMIN",
        result.error?.message ?? `${method} ${path}: ${response.statusCode}`,
      );
    }
    return result;
  }

  status(): Promise<MachineStatus> {
    return this.#request("GET", "/v1/status");
  }

  /** The configuration in force. */
  config(): Promise<RunningConfig> {
    return this.#request("GET", "/v1/config");
  }

  /** Where every packet buffer is. */
  frames(): Promise<FrameAudit> {
    return this.#request("GET", "/v1/frames");
  }

  table(pool: string): Promise<TableStatus> {
    return this.#request("GET", `/v1/pools/${encodeURIComponent(pool)}/table`);
  }

  setBackendState(pool: string, backend: string, state: BackendState): Promise<unknown> {
    const path = `/v1/pools/${encodeURIComponent(pool)}/backends/${encodeURIComponent(backend)}/state`;
    return this.#request("PUT", path, { state });
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}
