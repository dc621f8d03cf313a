// What VIPs ask of packets beside the connection table: guards and server ids, as the maps and fields of their records
// (VIP_GUARD, VIP_SERVER_IDS, … of layout.ts).

import * as L from "../../assembly/layout.ts";
import { addressFamily } from "../config/address.ts";
import { type Prefix, parsePrefix } from "../config/prefix.ts";
import type { VipConfig } from "../config/schema.ts";
import type { DataplaneExports } from "./binary.ts";
import type { DirectoryBackend } from "./in-force.ts";
import { alignUp } from "./plan.ts";
import { type PrefixEntry, prefixMap } from "./prefix-map.ts";

/** 2^-20 ms in a second: what a packet's interval is a part of (assembly/rates.ts). */
const SECOND = 1000 * 2 ** 20;

/** Every address of a family. */
const everything = (family: 4 | 6): Prefix => parsePrefix(family === 4 ? "0.0.0.0/0" : "::/0");

/** A guard's prefixes of the VIP's family, and what becomes of all others. */
function guardEntries({ allow, deny }: NonNullable<VipConfig["guard"]>, family: 4 | 6): PrefixEntry[] {
  const listed = (prefixes: readonly string[], value: number) =>
    prefixes.map((text) => ({ prefix: parsePrefix(text), value }));
  const entries = [...listed(allow ?? [], L.GUARD_ALLOW), ...listed(deny, L.GUARD_DENY)].filter(
    ({ prefix }) => prefix.family === family,
  );
  if (entries.every(({ prefix }) => prefix.length > 0))
    entries.push({ prefix: everything(family), value: allow ? L.GUARD_DENY : L.GUARD_ALLOW });
  return entries;
}

/** A server id as an address of full length; all of a pool have the same length. */
function serverIdEntries(backends: readonly DirectoryBackend[]): PrefixEntry[] {
  return backends.flatMap(({ id, config: { quicServerId } }) => {
    if (quicServerId === undefined) return [];
    const bytes = new Uint8Array(16);
    bytes.set(Buffer.from(quicServerId, "hex"));
    return [{ prefix: { family: 6 as const, bytes, length: 128 }, value: id }];
  });
}

/** The maps of VIPs, and what their records say of them. */
export class Policies {
  readonly #slotHash: DataplaneExports["slotHash"];
  readonly #maps: { at: number; bytes: Uint8Array }[] = [];
  /** Where the next map goes. */
  #end: number;

  /** @param from offset in the services block from which on the maps lie */
  constructor(from: number, slotHash: DataplaneExports["slotHash"]) {
    this.#end = alignUp(from, L.LINE);
    this.#slotHash = slotHash;
  }

  #place(entries: PrefixEntry[]): number {
    const bytes = prefixMap(entries, this.#slotHash);
    const at = this.#end;
    this.#maps.push({ at, bytes });
    this.#end += bytes.length;
    return at;
  }

  /**
   * Writes the fields of a VIP's record, but for its flags.
   * @returns VIP_FLAG_* to be set
   */
  write(
    { address, guard, quic }: VipConfig,
    backends: readonly DirectoryBackend[],
    record: DataView,
  ): number {
    const family = addressFamily(address);
    let flags = 0;
    if (guard && (guard.allow || guard.deny.length > 0)) {
      record.setUint32(L.VIP_GUARD, this.#place(guardEntries(guard, family)), true);
      flags |= L.VIP_FLAG_GUARD;
    }
    const { limit = 0, prefix = 0, prefix6 = 0 } = guard?.packetsPerSecond ?? {};
    if (limit > 0) {
      record.setUint32(L.VIP_RATE_INTERVAL, Math.floor(SECOND / limit), true);
      record.setUint8(L.VIP_RATE_PREFIX, family === 4 ? prefix : prefix6);
      flags |= L.VIP_FLAG_GUARD;
    }
    const [first] = backends.flatMap(({ config }) => config.quicServerId ?? []);
    if (quic.routeBy === "server-id" && first !== undefined) {
      record.setUint32(L.VIP_SERVER_IDS, this.#place(serverIdEntries(backends)), true);
      record.setUint8(L.VIP_SERVER_ID_BYTES, first.length / 2);
      flags |= L.VIP_FLAG_QUIC;
    }
    return flags;
  }

  /** A block with the maps behind what is in it. */
  append(block: Uint8Array): Uint8Array {
    const whole = new Uint8Array(this.#end);
    whole.set(block);
    for (const { at, bytes } of this.#maps) whole.set(bytes, at);
    return whole;
  }
}
