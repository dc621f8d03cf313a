// The header: what a table of connections means, without which it is noise. A text file: a line with the SHA-256 of the rest,
// then JSON. It names its table by a token that is in the table as well, so that none is read by the header of another.

import { createHash } from "node:crypto";
import { z } from "zod";
import * as L from "../../../assembly/layout.ts";
import type { Instant } from "./instant.ts";

const MAGIC = "guideway flows";
const MAX_TIMEOUT_MS = 0xffffffff;

const count = (max: number, min = 0) => z.int().min(min).max(max);
const milliseconds = z.number().min(-Number.MAX_SAFE_INTEGER).max(Number.MAX_SAFE_INTEGER);

/** Keys under numbers from 1 to `max`, none of them twice. */
const numbering = (max: number) =>
  z
    .strictObject({
      named: z.array(z.tuple([z.string(), count(max, 1)])),
      resting: z.array(count(max, 1)),
    })
    .refine(({ named, resting }) => {
      const numbers = [...named.map(([, number]) => number), ...resting];
      const keys = new Set(named.map(([key]) => key));
      return new Set(numbers).size === numbers.length && keys.size === named.length;
    }, "has a number or a key twice");

const timeout = count(MAX_TIMEOUT_MS, 1);

const schema = z.strictObject({
  magic: z.literal(MAGIC),
  /** CONNTRACK_VERSION. */
  version: z.literal(L.CONNTRACK_VERSION),
  /** Names the table's file, and stands in it. */
  table: z.string().regex(/^[0-9a-f]{32}$/),
  /** Where in the file shards and lines begin. */
  offset: count(Number.MAX_SAFE_INTEGER, L.PAGE).multipleOf(L.PAGE),
  shards: z.literal(L.SHARDS),
  /** A power of two: hash.ts. */
  shardLines: count(2 ** 24, 256).refine((lines) => (lines & (lines - 1)) === 0, "is no power of two"),
  secret: z.array(z.string().regex(/^[0-9a-f]{16}$/)).length(4),
  timeouts: z.strictObject({ new: timeout, established: timeout, closing: timeout, udp: timeout }),
  /** When the workers' clock began, and what it said when this process took over. */
  zero: z.strictObject({ boot: z.string(), monotonicMs: milliseconds, wallMs: milliseconds }),
  clockMs: milliseconds.min(0),
  backends: numbering(L.MAX_BACKENDS),
  services: numbering(L.MAX_SERVICES),
  /** SHA-256 of shards and lines, once nobody writes there any more; absent while the process runs, and after a sudden end. */
  digest: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
});

export type Header = z.output<typeof schema> & { zero: Instant };

/** Bytes of shards and lines. */
export function tableBytes({ shardLines }: Pick<Header, "shardLines">): number {
  return L.SHARDS * (L.SHARD_BYTES + shardLines * L.LINE);
}

/** Why something that a process has left behind cannot be used. */
export class Unsound extends Error {}

export function headerOf(fields: Omit<Header, "magic" | "version" | "shards">): Header {
  return { magic: MAGIC, version: L.CONNTRACK_VERSION, shards: L.SHARDS, ...fields };
}

function checksum(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

export function encodeHeader(header: Header): string {
  const text = JSON.stringify(header, null, 1);
  return `${checksum(text)}\n${text}`;
}

/** @throws Unsound */
export function decodeHeader(text: string): Header {
  const end = text.indexOf("\n");
  const body = text.slice(end + 1);
  if (end === -1 || checksum(body) !== text.slice(0, end))
    throw new Unsound("its header's checksum is wrong");
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw new Unsound("its header is no JSON");
  }
  const version = (value as { version?: unknown } | null)?.version;
  if (version !== L.CONNTRACK_VERSION)
    throw new Unsound(`its layout has version ${String(version)}, this program's ${L.CONNTRACK_VERSION}`);
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const [issue] = error.issues;
  throw new Unsound(`its header is not valid: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`);
}
