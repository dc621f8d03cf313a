/**
 * The HTTP server of a backend. Started inside its namespace: `node server.ts --name be1 --port 80,8080`.
 *
 * | request | answer |
 * |---|---|
 * | `GET /` | the backend's name and a newline |
 * | `GET /healthz` | `ok` |
 * | `GET /bytes?n=N&seed=S` | N bytes of the pattern (pattern.ts) |
 * | `POST /sink` | `{"bytes": …, "sha256": "…"}` of what was sent |
 *
 * Every answer names the backend in `x-backend`. The first line on stdout says that all ports are open:
 * `{"ready": true, "name": …, "ports": […], "pid": …}`; nothing is written after it. SIGTERM and SIGINT end it.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { patternPieces } from "./pattern.ts";

const MAX_BYTES = 2 ** 32;

const { values } = parseArgs({
  options: { name: { type: "string", default: "backend" }, port: { type: "string", default: "80" } },
});
const ports = values.port.split(",").map(Number);

const servers = ports.map(() => {
  const server = createServer((request, response) => {
    answer(request, response).catch((error: Error) => {
      // The client went away in the middle, or the answer broke: there is nobody left to tell.
      if (!response.headersSent) response.writeHead(500);
      response.end();
      if (!request.destroyed) process.stderr.write(`${values.name}: ${request.url}: ${error.message}\n`);
    });
  });
  server.keepAliveTimeout = 60_000;
  server.headersTimeout = 15_000;
  server.requestTimeout = 120_000;
  return server;
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://backend");
  response.setHeader("x-backend", values.name);
  switch (`${request.method} ${url.pathname}`) {
    case "GET /":
      return text(response, 200, `${values.name}\n`);
    case "GET /healthz":
      return text(response, 200, "ok\n");
    case "GET /bytes":
      return bytes(response, url.searchParams);
    case "POST /sink":
      return sink(request, response);
    default:
      request.resume();
      return text(response, 404, "not found\n");
  }
}

function text(response: ServerResponse, status: number, body: string): void {
  response
    .writeHead(status, { "content-type": "text/plain", "content-length": Buffer.byteLength(body) })
    .end(body);
}

async function bytes(response: ServerResponse, query: URLSearchParams): Promise<void> {
  const n = Number(query.get("n") ?? 1024);
  const seed = Number(query.get("seed") ?? 0);
  if (!Number.isInteger(n) || n < 0 || n > MAX_BYTES || !Number.isInteger(seed)) {
    return text(response, 400, `n: 0 to ${MAX_BYTES}; seed: a whole number\n`);
  }
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": n });
  await pipeline(Readable.from(patternPieces(n, seed), { objectMode: false }), response);
}

async function sink(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const hash = createHash("sha256");
  let received = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    received += chunk.length;
    hash.update(chunk);
  }
  const body = JSON.stringify({ bytes: received, sha256: hash.digest("hex") });
  response.writeHead(200, { "content-type": "application/json", "content-length": body.length }).end(body);
}

for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => process.exit(0));
// Whoever started this may have closed the pipes.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

const open = await Promise.all(
  servers.map(async (server, index) => {
    // Both families on one socket.
    server.listen({ host: "::", port: ports[index], ipv6Only: false, backlog: 4096 });
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  }),
);
process.stdout.write(
  `${JSON.stringify({ ready: true, name: values.name, ports: open, pid: process.pid })}\n`,
);
