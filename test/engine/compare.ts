// A packet's result in the engine and in the model: the same in everything that both tell.

import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { trackName } from "../../src/dataplane/reasons.ts";
import type { OfflineResult } from "../../src/io/offline.ts";
import type { Outcome } from "../model/model.ts";
import { decode } from "../packets/decode.ts";
import type { TimedPacket } from "../packets/hostile.ts";

/** @param names of backends by id */
export function compare(
  actual: OfflineResult,
  expected: Outcome,
  names: (id: number) => string | undefined,
  packet: TimedPacket,
): void {
  const { verdict, reason, service, tracked, track, out, fragments } = actual;
  const decided = {
    verdict,
    reason,
    service,
    tracked,
    track,
    backend: names(actual.backend),
    out,
    fragments,
  };
  const wanted = {
    verdict: expected.verdict,
    reason: expected.reason,
    service: expected.service,
    tracked: expected.tracked,
    track: trackName(expected.track),
    backend: expected.backend,
    out: expected.out,
    fragments: expected.fragments,
  };
  if (isDeepStrictEqual(decided, wanted)) return;
  const text = JSON.stringify({ at: packet.clockMs, in: decode(packet.bytes) }, null, 1);
  const readable = <T extends { out: Uint8Array | undefined; fragments: Uint8Array[] | undefined }>(
    all: T,
  ) => ({
    ...all,
    out: all.out && decode(all.out),
    fragments: all.fragments?.map(decode),
  });
  assert.deepEqual(readable(decided), readable(wanted), text);
  assert.deepEqual(decided, wanted, text);
}
