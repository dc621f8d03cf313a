// The part of the services block that has the wildcards: records, ranges, and the prefix map that leads to them
// (WILDCARD_*, RANGE_* of layout.ts). All offsets in it count from the start of the services block.

import * as L from "../../assembly/layout.ts";
import type { DataplaneExports } from "./binary.ts";
import { alignUp } from "./plan.ts";
import { prefixMap } from "./prefix-map.ts";
import type { WildcardPorts, Wildcards } from "./wildcards.ts";

export interface WildcardsBlock {
  bytes: Uint8Array;
  /** Offset of the prefix map. */
  map: number;
}

/**
 * @param offset of what is returned, from the start of the services block
 * @param slotHash of the data plane, so that both look in the same place
 */
export function wildcardsBlock(
  wildcards: readonly Wildcards[],
  offset: number,
  slotHash: DataplaneExports["slotHash"],
): WildcardsBlock {
  const record = (index: number) => offset + index * L.WILDCARD_BYTES;
  const map = prefixMap(
    wildcards.map(({ prefix }, index) => ({ prefix, value: record(index) })),
    slotHash,
  );
  const ranges = wildcards.reduce((sum, { tcp, udp }) => sum + tcp.ranges.length + udp.ranges.length, 0);
  const rangesAt = record(wildcards.length);
  const mapAt = alignUp(rangesAt + ranges * L.RANGE_BYTES, L.LINE);
  const bytes = new Uint8Array(mapAt + map.length - offset);
  const view = new DataView(bytes.buffer);
  bytes.set(map, mapAt - offset);
  let next = rangesAt;
  const writePorts = (at: number, { number, ranges }: WildcardPorts) => {
    view.setUint32(at + L.WILDCARD_PORTS_RANGES, next, true);
    view.setUint32(at + L.WILDCARD_PORTS_COUNT, ranges.length, true);
    view.setUint16(at + L.WILDCARD_PORTS_NUMBER, number, true);
    for (const { first, last, vipIndex } of ranges) {
      view.setUint16(next - offset + L.RANGE_FIRST, first, true);
      view.setUint16(next - offset + L.RANGE_LAST, last, true);
      view.setUint16(next - offset + L.RANGE_VIP, vipIndex, true);
      next += L.RANGE_BYTES;
    }
  };
  for (const [index, { parent, addressService, tcp, udp }] of wildcards.entries()) {
    const at = record(index) - offset;
    view.setUint32(at + L.WILDCARD_PARENT, parent === undefined ? 0 : record(parent), true);
    view.setUint16(at + L.WILDCARD_ADDRESS, addressService?.number ?? 0, true);
    view.setUint16(at + L.WILDCARD_ADDRESS_VIP, addressService?.vipIndex ?? 0, true);
    writePorts(at + L.WILDCARD_TCP, tcp);
    writePorts(at + L.WILDCARD_UDP, udp);
  }
  return { bytes, map: mapAt };
}
