// grpc: grpc.health.v1.Health/Check (github.com/grpc/grpc/blob/master/doc/health-checking.md), one call on one
// HTTP/2 connection of Node. A gRPC client manages connections of its own, which can neither be bound to an address
// nor be reset.
import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import type { Duplex } from "node:stream";
import type { Question } from "../../config/health.ts";
import type { Attempt } from "../attempt.ts";
import type { ProbeTarget } from "../target.ts";
import { open, reset, tlsClient } from "./connection.ts";

const PATH = "/grpc.health.v1.Health/Check";
/** HealthCheckResponse.ServingStatus. */
const SERVING = 1;
const STATUSES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
/** A response takes 7 bytes. */
const MAX_RESPONSE_BYTES = 1024;

export function prepareGrpc(target: ProbeTarget<Extract<Question, { type: "grpc" }>>) {
  const { address, check } = target;
  const message = encodeRequest(check.service);
  const secure = check.tls && tlsClient(check.tls, address, ["h2"]);

  const call = (socket: Duplex, attempt: Attempt, reset: () => void): void => {
    attempt.phase = "waiting for the response";
    const authority = `http${secure ? "s" : ""}://${address.includes(":") ? `[${address}]` : address}:${check.port}`;
    const session = connectHttp2(authority, { createConnection: () => socket, maxSessionMemory: 1 });
    attempt.onEnd(() => {
      reset();
      session.destroy();
    });
    session.on("error", (error) => attempt.error(error));
    session.on("close", () => attempt.fail("closed before a complete response"));
    const request = session.request({
      ":method": "POST",
      ":path": PATH,
      "content-type": "application/grpc",
      te: "trailers",
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    let headers: IncomingHttpHeaders & { ":status"?: number | undefined } = {};
    let trailers: IncomingHttpHeaders = {};
    request.on("response", (received) => {
      headers = received;
    });
    request.on("trailers", (received) => {
      trailers = received;
    });
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MAX_RESPONSE_BYTES) attempt.fail(`a response of more than ${MAX_RESPONSE_BYTES} bytes`);
      else chunks.push(chunk);
    });
    request.on("error", (error) => attempt.error(error));
    request.once("end", () => judge(headers, trailers, Buffer.concat(chunks), attempt));
    request.end(message);
  };

  return (attempt: Attempt): void => {
    const socket = open(target, attempt);
    const close = () => reset(socket);
    socket.once("connect", () => {
      if (!secure) call(socket, attempt, close);
      else
        secure(socket, attempt, (encrypted) => {
          if (encrypted.alpnProtocol === "h2") call(encrypted, attempt, close);
          else attempt.fail("TLS: the server does not speak HTTP/2 (ALPN h2)");
        });
    });
  };
}

function judge(
  headers: IncomingHttpHeaders & { ":status"?: number | undefined },
  trailers: IncomingHttpHeaders,
  body: Buffer,
  attempt: Attempt,
): void {
  const http = headers[":status"];
  // A response without a body has its trailers in the header.
  const { "grpc-status": code = headers["grpc-status"], "grpc-message": text = headers["grpc-message"] } =
    trailers;
  if (http !== 200) attempt.fail(`HTTP status ${http}, expected 200`);
  else if (code !== "0")
    attempt.fail(
      `grpc-status ${String(code).slice(0, 20)}${text ? ` (${String(text).slice(0, 100)})` : ""}, expected 0`,
    );
  else {
    const status = decodeResponse(body);
    if (status === SERVING) attempt.pass("SERVING");
    else
      attempt.fail(
        status === undefined
          ? "a response that is malformed"
          : `${STATUSES[status] ?? status}, expected SERVING`,
      );
  }
}

/** HealthCheckRequest { string service = 1; } in a gRPC frame: not compressed, length, message. */
function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service);
  // A length of up to 255 takes one or two bytes as a varint.
  const length = name.length < 128 ? [name.length] : [(name.length & 0x7f) | 0x80, name.length >> 7];
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...length]), name]);
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  return Buffer.concat([frame, message]);
}

/** HealthCheckResponse { ServingStatus status = 1; }; undefined when it is not one. Other fields are skipped. */
function decodeResponse(frame: Buffer): number | undefined {
  if (frame.length < 5 || frame[0] !== 0 || frame.readUInt32BE(1) !== frame.length - 5) return undefined;
  let at = 5;
  let status = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 32 && at < frame.length; shift += 7) {
      const byte = frame[at++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    return Number.NaN;
  };
  while (at < frame.length) {
    const tag = varint();
    const wire = tag & 7;
    if (wire === 0) {
      const value = varint();
      if (tag >> 3 === 1) status = value;
    } else if (wire === 1) at += 8;
    else if (wire === 2) at += varint();
    else if (wire === 5) at += 4;
    else return undefined;
    if (Number.isNaN(at) || Number.isNaN(status) || at > frame.length) return undefined;
  }
  return status;
}
