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

/**
 * The differences of a packet that came and the one that left.
 * @param tunnel offset of the IP header in front of which a tunnel's headers were put, and behind which padding was cut
 */
export function findChanges(before: Side, after: Side, tunnel?: number): Change[] {
  if (tunnel === undefined) return compare(before, after, before.bytes.length);
  const padding = before.headers.find(({ name }) => name === "padding");
  const kept = before.bytes.length - (padding?.bytes ?? 0);
  const added = after.bytes.length - kept;
  const changes = compare(before, after, tunnel);
  changes.push({
    kind: "added",
    offset: tunnel,
    bytes: added,
    before: "",
    after: hex(after.bytes.subarray(tunnel, tunnel + added)),
    fields: after.headers
      .filter(({ offset }) => offset >= tunnel && offset < tunnel + added)
      .map(({ name }) => name),
  });
  if (padding !== undefined) {
    const { offset, bytes } = padding;
    changes.push({
      kind: "cut",
      offset,
      bytes,
      before: hex(before.bytes.subarray(offset)),
      after: "",
      fields: ["padding"],
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
