// The other end of the admin API, for commands.

import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { Client } from "undici";
import type { Reloaded } from "../control/changes.ts";
import type { AuditEntry } from "../control/history.ts";
import type { Overview } from "../control/overview.ts";
import type { TableStatus } from "../control/status.ts";
import type { FrameAudit } from "../dataplane/audit.ts";
import type { BackendState } from "../dataplane/backend-records.ts";
import { GuidewayError } from "../errors.ts";
import { USER_HEADER } from "./origin.ts";
import type { RunningConfig } from "./routes/config.ts";
import { readSecretFile } from "./secret-file.ts";
import { tokenOf } from "./token.ts";

const TIMEOUT_MS = 5000;
/** New backends are looked for and checked first, and large tables take a while. */
const RELOAD_TIMEOUT_MS = 120_000;

/** Where a machine is operated: its unix socket, or its `admin.listen`. */
export type AdminTarget =
  | { socket: string }
  | {
      /** Such as https://lb-1:9180. */
      url: string;
      /** Files: the token; authorities for the machine's certificate, when the system's do not do; a certificate of our own. */
      token?: string | undefined;
      ca?: string | undefined;
      certificate?: string | undefined;
      key?: string | undefined;
    };

/** @throws GuidewayError USAGE */
function readFile(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const message = `${option} ${path} cannot be read: ${(cause as Error).message}`;
    throw new GuidewayError("USAGE", message, { exitCode: 2, cause });
  }
}

/** @throws GuidewayError USAGE */
function originOf(text: string): string {
  const url = URL.parse(text);
  if (url && /^https?:$/.test(url.protocol) && url.pathname === "/" && !url.search && !url.username)
    return url.origin;
  throw new GuidewayError(
    "USAGE",
    `--url ${JSON.stringify(text)} is not valid, expected http:// or https://, a host and a port, e.g. http://127.0.0.1:9180`,
    { exitCode: 2 },
  );
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A user that has no name on this machine.
    return String(process.getuid?.() ?? "unknown");
  }
}

export class AdminClient {
  readonly #where: string;
  readonly #client: Client;
  readonly #headers: Record<string, string>;

  /**
   * Connects at the first request.
   * @param target a path is that of a unix socket
   * @throws GuidewayError USAGE for a URL or file that cannot be used, ADMIN_FILE and ADMIN_TOKEN for the token's
   */
  constructor(target: AdminTarget | string) {
    const times = { headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS };
    const timeout = TIMEOUT_MS;
    const to = typeof target === "string" ? { socket: target } : target;
    if ("socket" in to) {
      this.#where = to.socket;
      this.#headers = {};
      this.#client = new Client("http://localhost", {
        ...times,
        socketPath: to.socket,
        connect: { timeout },
      });
      return;
    }
    const { url, token, ca, certificate, key } = to;
    this.#where = originOf(url);
    const shown = token && tokenOf("--token-file", readSecretFile("--token-file", token));
    this.#headers = shown ? { authorization: `Bearer ${shown}` } : {};
    const connect = {
      timeout,
      ...(ca && { ca: readFile("--tls-ca", ca) }),
      ...(certificate && { cert: readFile("--tls-certificate", certificate) }),
      ...(key && { key: readFile("--tls-key", key) }),
    };
    this.#client = new Client(this.#where, { ...times, connect });
  }

  async #request<T>(
    method: "GET" | "PUT" | "POST",
    path: string,
    body?: unknown,
    timeoutMs = TIMEOUT_MS,
  ): Promise<T> {
    const headers = {
      ...this.#headers,
      ...(method !== "GET" && { "content-type": "application/json", [USER_HEADER]: userName() }),
    };
    const response = await this.#client
      .request({
        method,
        path,
        headers,
        headersTimeout: timeoutMs,
        ...(body !== undefined && { body: JSON.stringify(body) }),
      })
      .catch((cause: Error) => {
        throw new GuidewayError(
          "NOT_RUNNING",
          `no guideway answers on ${this.#where} (${cause.message}): start one with "guideway run", or name its ` +
            "admin.socket by --socket, or its admin.listen by --url",
          { cause },
        );
      });
    const text = await response.body.text();
    let result: T & { error?: { code: string; message: string } };
    try {
      result = JSON.parse(text);
    } catch (cause) {
      const message = `${this.#where} answers ${method} ${path} with ${response.statusCode} and no JSON: it is no guideway`;
      throw new GuidewayError("ADMIN", message, { cause });
    }
    if (response.statusCode >= 400) {
      throw new GuidewayError(
        result.error?.code ?? "ADMIN",
        result.error?.message ?? `${method} ${path}: ${response.statusCode}`,
        { exitCode: result.error?.code === "CONFIG" ? 2 : 1 },
      );
    }
    return result;
  }

  status(): Promise<Overview> {
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

  /** @param force also where no backend is left that takes new flows */
  setBackendState(pool: string, backend: string, state: BackendState, force = false): Promise<unknown> {
    const path = `/v1/pools/${encodeURIComponent(pool)}/backends/${encodeURIComponent(backend)}/state`;
    return this.#request("PUT", path, { state, force });
  }

  /** @param force also where no backend is left that takes new flows */
  resize(workers: number): Promise<unknown> {
    return this.#request("PUT", "/v1/workers", { workers });
  }

  setWeight(pool: string, backend: string, weight: number, force = false): Promise<unknown> {
    const path = `/v1/pools/${encodeURIComponent(pool)}/backends/${encodeURIComponent(backend)}/weight`;
    return this.#request("PUT", path, { weight, force });
  }

  /** Without a text the machine reads its own file again. */
  reload(request: { text?: string; file?: string; force?: boolean }): Promise<Reloaded> {
    return this.#request("POST", "/v1/reload", request, RELOAD_TIMEOUT_MS);
  }

  /** Changes since the start, oldest first. */
  async audit(): Promise<AuditEntry[]> {
    return (await this.#request<{ entries: AuditEntry[] }>("GET", "/v1/audit?limit=1000")).entries;
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}
