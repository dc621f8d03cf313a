// The services block: the hash table of services, the VIP records and the wildcards, as one piece of memory (SERVICES_* of
// layout.ts).

import * as L from "../../assembly/layout.ts";
import { parsePrefix } from "../config/prefix.ts";
import { type Config, FORWARD_MODES } from "../config/schema.ts";
import { isWildcard, PROTOCOL_ICMP, PROTOCOL_ICMPV6, type Service, serviceKey } from "../config/services.ts";
import type { DataplaneExports } from "./binary.ts";
import type { DirectoryBackend } from "./in-force.ts";
import { serviceSlots, servicesBytes } from "./plan.ts";
import { Policies } from "./policies.ts";
import type { PublishedBlock } from "./published-blocks.ts";
import type { Slot } from "./steering.ts";
import { type Sources, tunnelFlags, writeTunnel } from "./tunnel-record.ts";
import { wildcardsOf } from "./wildcards.ts";
import { wildcardsBlock } from "./wildcards-block.ts";

export interface ServicesBlock {
  /** Numbered. `vipIndex` is the place of the VIP in `vips`. */
  services: readonly Service[];
  /** What else there is. */
  slots: readonly Slot[];
  vips: Config["vips"];
  /** Number of each VIP's counters. */
  vipNumbers: readonly number[];
  /** Address of a pool's record. */
  poolRecord: (name: string) => number;
  /** Backends by pool. */
  members: ReadonlyMap<string, readonly DirectoryBackend[]>;
  sources: Sources;
}

/** The block's bytes. @param slotHash of the data plane, so that both look in the same place */
export function servicesBlock(
  { services, slots: others, vips, vipNumbers, poolRecord, members, sources }: ServicesBlock,
  slotHash: DataplaneExports["slotHash"],
): Uint8Array {
  const exact = services.filter((service) => !isWildcard(service));
  const count = exact.length + others.length;
  const slots = serviceSlots(count);
  const exactBytes = servicesBytes(count, vips.length);
  const wildcards = wildcardsOf(services);
  const wild = wildcards.length === 0 ? undefined : wildcardsBlock(wildcards, exactBytes, slotHash);
  const block = new Uint8Array(exactBytes + (wild?.bytes.length ?? 0));
  const view = new DataView(block.buffer);
  const records = L.SERVICES_SLOTS + slots * L.SERVICE_BYTES;
  view.setUint32(L.SERVICES_MASK, slots - 1, true);
  view.setUint32(L.SERVICES_VIPS, records, true);
  if (wild) {
    view.setUint32(L.SERVICES_WILDCARDS, wild.map, true);
    block.set(wild.bytes, exactBytes);
    block.fill(255, L.SERVICES_ADDRESSES, L.SERVICES_ADDRESSES + 32);
  }
  /** Takes a slot. @returns where it is */
  const enter = (key: Uint8Array, number: number, vip: number): number => {
    const words = new DataView(key.buffer);
    const hash = slotHash(
      words.getBigUint64(0, true),
      words.getBigUint64(8, true),
      words.getUint32(L.SERVICE_PORT, true),
    );
    const protocol = key[L.SERVICE_PROTOCOL];
    if (protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6)
      block[L.SERVICES_ADDRESSES + (hash >>> 27)]! |= 1 << ((hash >>> 24) & 7);
    let slot = hash & (slots - 1);
    const at = () => L.SERVICES_SLOTS + slot * L.SERVICE_BYTES;
    while (view.getUint8(at() + L.SERVICE_FAMILY) !== 0) slot = (slot + 1) & (slots - 1);
    block.set(key, at());
    view.setUint16(at() + L.SERVICE_NUMBER, number, true);
    view.setUint16(at() + L.SERVICE_VIP, vip, true);
    return at();
  };
  for (const { address, protocol, port, number, vipIndex } of exact)
    enter(serviceKey({ address, protocol, port: Number(port) }), number, vipIndex);
  for (const { key, number, vip, vipPort, backend } of others) {
    const at = enter(key, number, vip);
    view.setUint16(at + L.SERVICE_VIP_PORT, vipPort);
    view.setUint16(at + L.SERVICE_BACKEND, backend, true);
  }
  const policies = new Policies(block.length, slotHash);
  let flagsOfAll = 0;
  vips.forEach((vip, index) => {
    const at = records + index * L.VIP_BYTES;
    view.setUint32(at + L.VIP_INDEX, vipNumbers[index]!, true);
    view.setUint32(at + L.VIP_POOL, poolRecord(vip.pool), true);
    view.setUint8(at + L.VIP_FORWARD, FORWARD_MODES[vip.forward]);
    view.setUint8(at + L.VIP_TTL, vip.tunnel.ttl);
    block.set(parsePrefix(vip.address).bytes, at + L.VIP_ADDRESS);
    const record = new DataView(block.buffer, at, L.VIP_BYTES);
    const flags =
      (vip.echo ? L.VIP_FLAG_ECHO : 0) |
      (vip.forward === "nat" ? L.VIP_FLAG_NAT : 0) |
      tunnelFlags(vip) |
      policies.write(vip, members.get(vip.pool)!, record);
    view.setUint8(at + L.VIP_FLAGS, flags);
    flagsOfAll |= flags;
    writeTunnel(vip, sources, record);
  });
  view.setUint32(L.SERVICES_FLAGS, flagsOfAll, true);
  return policies.append(block);
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
