// What the engine did to the bytes of a packet.

import { type Header, placeOf } from "./headers.ts";

/** Bytes that follow each other and were changed, added or cut. */
export interface Change {
  kind: "changed" | "added" | "cut";
  /** From the start of the packet that came; of what was added, from the start of the one that left. */
  offset: number;
  bytes: number;
  /** Hexadecimal; empty for what was added, or cut. */
  before: string;
  after: string;
  /** The fields that they belong to, or the headers. */
  fields: string[];
}

interface Side {
  bytes: Uint8Array;
  headers: readonly Header[];
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

/** Headers that were put in front of a packet's IP header. */
export interface Wrapping {
  /** Offset of the IP header, in front of which they are. */
  at: number;
  bytes: number;
}

/**
 * The differences of a packet that came and the one that left.
 * @param wrapping what was put in front of the packet, whose end may have been cut
 */
export function findChanges(before: Side, after: Side, wrapping?: Wrapping): Change[] {
  if (wrapping === undefined) return compare(before, after, before.bytes.length);
  const { at, bytes } = wrapping;
  const kept = after.bytes.length - bytes;
  const changes = compare(before, after, at);
  const named = (headers: readonly Header[], from: number, to: number) =>
    headers.filter(({ offset, bytes }) => offset + bytes > from && offset < to).map(({ name }) => name);
  changes.push({
    kind: "added",
    offset: at,
    bytes,
    before: "",
    after: hex(after.bytes.subarray(at, at + bytes)),
    fields: named(after.headers, at, at + bytes),
  });
  if (before.bytes.length > kept) {
    changes.push({
      kind: "cut",
      offset: kept,
      bytes: before.bytes.length - kept,
      before: hex(before.bytes.subarray(kept)),
      after: "",
      fields: named(before.headers, kept, before.bytes.length),
    });
  }
  return changes;
}

/** Runs of bytes that differ among the first `length`, a field at a time. */
function compare(before: Side, after: Side, length: number): Change[] {
  const changes: Change[] = [];
  for (let at = 0; at < length; ) {
    if (before.bytes[at] === after.bytes[at]) {
      at++;
      continue;
    }
    const field = placeOf(before.headers, at);
    const from = at;
    let to = at + 1;
    for (at++; at < length && placeOf(before.headers, at) === field; at++) {
      if (before.bytes[at] !== after.bytes[at]) to = at + 1;
    }
    const [old, now] = [before, after].map((side) => hex(side.bytes.subarray(from, to)));
    changes.push({
      kind: "changed",
      offset: from,
      bytes: to - from,
      before: old!,
      after: now!,
      fields: [field],
    });
  }
  return changes;
}
