// The services block: the hash table of services and the VIP records, as one piece of memory (SERVICES_* of layout.ts).

import * as L from "../../assembly/layout.ts";
import { type Config, FORWARD_MODES } from "../config/schema.ts";
import { type Service, serviceKey } from "../config/services.ts";
import type { DataplaneExports } from "./binary.ts";
import { serviceSlots, servicesBytes } from "./plan.ts";
import type { PublishedBlock } from "./published-blocks.ts";

export interface ServicesBlock {
  /** Numbered. `vipIndex` is the place of the VIP in `vips`. */
  services: readonly Service[];
  vips: Config["vips"];
  /** Number of each VIP's counters. */
  vipNumbers: readonly number[];
  /** Address of a pool's record. */
  poolRecord: (name: string) => number;
}

/** The block's bytes. @param slotHash of the data plane, so that both look in the same place */
export function servicesBlock(
  { services, vips, vipNumbers, poolRecord }: ServicesBlock,
  slotHash: DataplaneExports["slotHash"],
): Uint8Array {
  const slots = serviceSlots(services.length);
  const block = new Uint8Array(servicesBytes(services.length, vips.length));
  const view = new DataView(block.buffer);
  const records = L.SERVICES_SLOTS + slots * L.SERVICE_BYTES;
  view.setUint32(L.SERVICES_MASK, slots - 1, true);
  view.setUint32(L.SERVICES_VIPS, records, true);
  for (const service of services) {
    const key = serviceKey(service);
    const words = new DataView(key.buffer);
    const hash = slotHash(
      words.getBigUint64(0, true),
      words.getBigUint64(8, true),
      words.getUint32(L.SERVICE_PORT, true),
    );
    let slot = hash & (slots - 1);
    const at = () => L.SERVICES_SLOTS + slot * L.SERVICE_BYTES;
    while (view.getUint8(at() + L.SERVICE_FAMILY) !== 0) slot = (slot + 1) & (slots - 1);
    block.set(key, at());
    view.setUint16(at() + L.SERVICE_NUMBER, service.number, true);
    view.setUint16(at() + L.SERVICE_VIP, service.vipIndex, true);
  }
  vips.forEach((vip, index) => {
    const at = records + index * L.VIP_BYTES;
    view.setUint32(at + L.VIP_INDEX, vipNumbers[index]!, true);
    view.setUint32(at + L.VIP_POOL, poolRecord(vip.pool), true);
    view.setUint8(at + L.VIP_FORWARD, FORWARD_MODES[vip.forward]);
    view.setUint8(at + L.VIP_TTL, vip.tunnel.ttl);
    view.setUint8(at + L.VIP_FLAGS, vip.echo ? L.VIP_FLAG_ECHO : 0);
  });
  return block;
}

/** The block as it was published. */
export function servicesEntry(block: number, servicesBytes: Uint8Array): PublishedBlock {
  return {
    name: "the services",
    cell: L.HEADER_SERVICES,
    block,
    bytes: servicesBytes.length,
    parts: [{ offset: 0, bytes: servicesBytes }],
    place: (offset) => `byte ${offset}`,
  };
}
