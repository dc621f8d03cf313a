// Which backend a failed request was for: the one that had answered on its connection, else the one that a lookup table gives
// to a connection with these two ends (docs/datapath.md §4, by the model's hash).

import type { TableStatus } from "../../src/control/status.ts";
import type { Failure } from "../../src/lab/load.ts";
import { addressBytes } from "../model/bytes.ts";
import { slotOf, tableHash } from "../model/flowkey.ts";

/** `hash.seed` of machines whose tables are asked. */
export const SEED = 7;
const TCP = 6;

type Table = Pick<TableStatus, "size" | "entries">;

/** @throws Error when the request did not come to a connection, so that it was for nobody */
export function ownerOf(failure: Failure, table: Table): string {
  return failure.backend ?? table.entries[slotOf(hashOf(failure), table.size)]!;
}

function hashOf(failure: Failure): bigint {
  const { from, url } = failure;
  if (!from) throw new Error(`a request was for nobody: ${JSON.stringify(failure)}`);
  const { hostname, port } = new URL(url);
  return tableHash(BigInt(SEED), {
    source: addressBytes(from.address),
    destination: addressBytes(hostname.replaceAll(/[[\]]/g, "")),
    sourcePort: bytesOf(from.port),
    destinationPort: bytesOf(Number(port || 80)),
    protocol: TCP,
  });
}

function bytesOf(port: number): Uint8Array {
  return Uint8Array.of(port >> 8, port & 255);
}
