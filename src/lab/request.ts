/** One HTTP request with a limit on everything, and the reason when it fails. */
import { type Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";

export interface RequestOptions {
  url: URL;
  agent: Agent;
  /** For the connection, and again between any two pieces of data. */
  timeoutMs: number;
  method?: "GET" | "POST";
  headers?: Record<string, string | number>;
  /** Sends the body; without it there is none. Must end the request. */
  send?: (request: ClientRequest) => void;
  /** Takes the body of an answer with status 200, piece by piece. */
  receive?: (chunk: Buffer) => void;
}

/** One end of a connection. */
export interface End {
  address: string;
  port: number;
}

export type RequestResult =
  | { ok: true; backend: string; ms: number }
  | {
      ok: false;
      reason: string;
      backend: string | undefined;
      ms: number;
      /** This end of the connection; undefined when it did not come to one. */
      from: End | undefined;
    };

/**
 * Never rejects. Reasons: `connect-timeout`, `response-timeout`, `body-timeout`, `status-N`, `no-backend-name`, or the
 * system's code such as `ECONNREFUSED`, `ECONNRESET`, `EHOSTUNREACH`.
 */
export function sendRequest(options: RequestOptions): Promise<RequestResult> {
  const { url, agent, timeoutMs, method = "GET", headers = {}, send, receive } = options;
  const startedMs = performance.now();
  return new Promise((resolve) => {
    let phase: "connect" | "response" | "body" = "connect";
    let backend: string | undefined;
    let from: End | undefined;
    let settled = false;
    const request = httpRequest(url, { agent, method, headers });
    const settle = (reason?: string) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      const ms = performance.now() - startedMs;
      if (reason === undefined && backend !== undefined) return resolve({ ok: true, backend, ms });
      request.destroy();
      resolve({ ok: false, reason: reason ?? "no-backend-name", backend, ms, from });
    };
    const timer = setTimeout(() => settle(`${phase}-timeout`), timeoutMs);
    const progress = (next: typeof phase) => {
      phase = next;
      timer.refresh();
    };

    request.on("socket", (socket) => {
      // Now: a socket that failed does not know its address any more.
      const { localAddress: address, localPort: port } = socket;
      if (address !== undefined && port !== undefined) from = { address, port };
      if (socket.connecting) socket.once("connect", () => progress("response"));
      else progress("response");
      if (send) socket.on("drain", () => timer.refresh());
    });
    request.on("error", (error: NodeJS.ErrnoException) => settle(error.code ?? error.message));
    request.on("response", (response: IncomingMessage) => {
      progress("body");
      const header = response.headers["x-backend"];
      backend = typeof header === "string" ? header : undefined;
      const wanted = response.statusCode === 200;
      response.on("data", (chunk: Buffer) => {
        timer.refresh();
        if (wanted && !settled) receive?.(chunk);
      });
      response.on("error", (error: NodeJS.ErrnoException) => settle(error.code ?? error.message));
      response.on("end", () => settle(wanted ? undefined : `status-${response.statusCode}`));
    });
    if (send) send(request);
    else request.end();
  });
}
