/** One large download or upload, verified to the last byte. */
import { createHash } from "node:crypto";
import { Agent } from "node:http";
import { Readable } from "node:stream";
import { PatternCheck, patternPieces } from "./pattern.ts";
import { type RequestOptions, sendRequest } from "./request.ts";

export interface TransferOptions {
  /** Where the server is; its path is not looked at. */
  url: URL;
  bytes: number;
  seed: number;
  /** The longest wait for any next piece. */
  timeoutMs: number;
}

export interface TransferResult {
  type: "download" | "upload";
  url: string;
  ok: boolean;
  /** Why not ok: a reason of `sendRequest`, `length N`, `byte N differs` or `sha256 differs`. */
  reason?: string;
  backend?: string;
  bytes: number;
  ms: number;
  mbitPerSecond: number;
}

/** Reads `bytes` bytes from `/bytes` and compares each with the pattern. */
export async function download(options: TransferOptions): Promise<TransferResult> {
  const { bytes, seed } = options;
  const check = new PatternCheck(seed);
  const url = new URL(`/bytes?n=${bytes}&seed=${seed}`, options.url);
  return transfer("download", options, { url, receive: (chunk) => check.add(chunk) }, () => {
    if (check.mismatch !== undefined) return `byte ${check.mismatch} differs`;
    return check.bytes === bytes ? undefined : `length ${check.bytes}`;
  });
}

/** Sends `bytes` bytes of the pattern to `/sink` and compares what the server says it got. */
export async function upload(options: TransferOptions): Promise<TransferResult> {
  const { bytes, seed } = options;
  const hash = createHash("sha256");
  const body = function* () {
    for (const piece of patternPieces(bytes, seed)) {
      hash.update(piece);
      yield piece;
    }
  };
  let answer = "";
  const request = {
    url: new URL("/sink", options.url),
    method: "POST" as const,
    headers: { "content-type": "application/octet-stream", "content-length": bytes },
    send: (request: NodeJS.WritableStream) => {
      Readable.from(body(), { objectMode: false }).pipe(request);
    },
    receive: (chunk: Buffer) => {
      answer += chunk;
    },
  };
  return transfer("upload", options, request, () => {
    const got = parse(answer);
    if (got?.bytes !== bytes) return `length ${got?.bytes ?? "unknown"}`;
    return got.sha256 === hash.digest("hex") ? undefined : "sha256 differs";
  });
}

async function transfer(
  type: TransferResult["type"],
  { bytes, timeoutMs }: TransferOptions,
  request: Omit<RequestOptions, "agent" | "timeoutMs">,
  verify: () => string | undefined,
): Promise<TransferResult> {
  const agent = new Agent();
  const result = await sendRequest({ ...request, agent, timeoutMs });
  agent.destroy();
  const reason = result.ok ? verify() : result.reason;
  return {
    type,
    url: request.url.href,
    ok: reason === undefined,
    ...(reason !== undefined && { reason }),
    ...(result.backend !== undefined && { backend: result.backend }),
    bytes,
    ms: Math.round(result.ms),
    mbitPerSecond: Math.round((bytes * 8) / 1000 / result.ms),
  };
}

function parse(answer: string): { bytes: number; sha256: string } | undefined {
  try {
    return JSON.parse(answer);
  } catch {
    return undefined;
  }
}
