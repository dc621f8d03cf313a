// fast-check arbitraries: datagrams that look like QUIC (RFC 8999), with connection ids that name servers, or nearly.

import fc from "fast-check";
import { concat, fromHex } from "../model/bytes.ts";

/** A connection id: its configuration (3 bits), a server id and a nonce. */
function connectionId(ids: readonly string[]): fc.Arbitrary<Uint8Array> {
  const id = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...ids).map(fromHex) },
    fc.uint8Array({ maxLength: 15 }),
  );
  return fc
    .record({
      id,
      config: fc.constantFrom(0, 0, 1, 6, 7),
      low: fc.nat(31),
      nonce: fc.uint8Array({ maxLength: 8 }),
    })
    .map(({ id, config, low, nonce }) => concat(Uint8Array.of((config << 5) | low), id, nonce));
}

/** @param ids of servers, hexadecimal; at least one */
export function quicDatagram(ids: readonly string[]): fc.Arbitrary<Uint8Array> {
  return fc
    .record({
      first: fc.nat(255),
      version: fc.constantFrom(1, 1, 0x6b3343cf, 0),
      cid: connectionId(ids),
      lie: fc.constantFrom(0, 0, 0, 1, -1, 200),
      rest: fc.uint8Array({ maxLength: 20 }),
      cut: fc.oneof({ weight: 4, arbitrary: fc.constant(1500) }, fc.nat(24)),
    })
    .map(({ first, version, cid, lie, rest, cut }) => {
      const length = Math.min(255, Math.max(0, cid.length + lie));
      const words = Uint8Array.of(
        version >>> 24,
        (version >>> 16) & 255,
        (version >>> 8) & 255,
        version & 255,
        length,
      );
      const header = Uint8Array.of(first);
      return concat(...(first >= 128 ? [header, words] : [header]), cid, rest).subarray(0, cut);
    });
}
