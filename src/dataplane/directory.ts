// Who is who in the arena: indices of pools and VIPs, ids of backends, numbers of services, and the records
// behind them. Written by the controller only; see layout.ts for what each record means.

import * as L from "../../assembly/layout.ts";
import { addressBytes, addressFamily } from "../config/address.ts";
import { type BackendConfig, type Config, FORWARD_MODES } from "../config/schema.ts";
import { expandServices, type Service, serviceKey } from "../config/services.ts";
import type { Arena } from "./arena.ts";
import type { DataplaneExports } from "./binary.ts";
import { serviceSlots, servicesBytes, tableBytes } from "./plan.ts";
import type { Publication } from "./publication.ts";
import { buildMaglev, tableDigest } from "./table-builder.ts";

export type BackendState = "active" | "draining" | "dead";

const STATES: Record<BackendState, number> = {
  active: L.BACKEND_STATE_ACTIVE,
  draining: L.BACKEND_STATE_DRAINING,
  dead: L.BACKEND_STATE_DEAD,
};

/** A backend of a pool, under its id. */
export interface DirectoryBackend {
  id: number;
  pool: string;
  config: BackendConfig;
  state: BackendState;
}

/** Where frames for a backend go next. */
export interface NextHop {
  /** Six bytes. */
  mac: Uint8Array;
  /** Index of the interface record. */
  interface: number;
}

/** A MAC address and an interface as BACKEND_NEXT_HOP holds them. */
function nextHopWord({ mac, interface: index }: NextHop): bigint {
  const bytes = mac.reduceRight((word, byte) => (word << 8n) | BigInt(byte), 0n);
  return bytes | (BigInt(index) << 48n) | (1n << 56n);
}

/** A table as it was published. */
export class PublishedTable {
  /** As configured. */
  readonly size: number;
  /** Ids in slot order; none when no backend takes flows. */
  readonly slots: Uint16Array;
  readonly #names: readonly DirectoryBackend[];
  #digest: string | undefined;
  #taken: Map<number, number> | undefined;

  constructor(size: number, slots: Uint16Array, backends: readonly DirectoryBackend[]) {
    this.size = size;
    this.slots = slots;
    this.#names = backends;
  }

  /** Names of the backends in slot order. */
  entries(): string[] {
    return Array.from(this.slots, (id) => this.#names[id]!.config.name);
  }

  /** Equal on machines with equal tables. */
  get digest(): string {
    this.#digest ??= tableDigest(this.size, this.entries());
    return this.#digest;
  }

  /** Part of the slots that a backend has, 0 … 1. */
  share(id: number): number {
    if (!this.#taken) {
      this.#taken = new Map();
      for (const each of this.slots) this.#taken.set(each, (this.#taken.get(each) ?? 0) + 1);
    }
    return this.slots.length === 0 ? 0 : (this.#taken.get(id) ?? 0) / this.slots.length;
  }
}

export class Directory {
  readonly #arena: Arena;
  readonly #publication: Publication;
  readonly #exports: DataplaneExports;
  /** By id; index 0 is none. */
  readonly backends: DirectoryBackend[] = [];
  services: Service[] = [];
  vips: Config["vips"] = [];
  readonly #tables = new Map<string, PublishedTable>();
  readonly #pools = new Map<string, { index: number; tableSize: number }>();

  constructor(arena: Arena, publication: Publication, exports: DataplaneExports) {
    this.#arena = arena;
    this.#publication = publication;
    this.#exports = exports;
  }

  /** Enters pools, backends and VIPs of a configuration and publishes their tables and services. */
  apply(config: Config): void {
    for (const [name, pool] of Object.entries(config.pools)) {
      this.#pools.set(name, { index: this.#pools.size, tableSize: pool.tableSize });
      for (const backend of pool.backends) this.#addBackend(name, backend);
      this.publishTable(name);
    }
    this.#publishServices(config);
  }

  #addBackend(pool: string, config: BackendConfig): void {
    const id = Math.max(1, this.backends.length);
    this.backends[id] = { id, pool, config, state: "active" };
    const at = this.backendRecord(id);
    this.#arena.u8.set(addressBytes(config.address), at + L.BACKEND_ADDRESS);
    this.#arena.setWord(at + L.BACKEND_FAMILY, addressFamily(config.address));
    this.#arena.setWord(at + L.BACKEND_STATE, L.BACKEND_STATE_ACTIVE);
  }

  backendRecord(id: number): number {
    return this.#arena.plan.regions.backends.offset + id * L.BACKEND_BYTES;
  }

  poolRecord(name: string): number {
    return this.#arena.plan.regions.pools.offset + this.#pools.get(name)!.index * L.POOL_BYTES;
  }

  get poolNames(): string[] {
    return [...this.#pools.keys()];
  }

  backendsOf(pool: string): DirectoryBackend[] {
    return this.backends.filter((backend) => backend?.pool === pool);
  }

  /** Ids in slot order of the pool's table as it would be built now: from its active backends. */
  buildTable(pool: string): Uint16Array {
    const active = this.backendsOf(pool).filter(({ state }) => state === "active");
    const entries = active.map(({ id, config }) => ({ id, key: config.name, weight: config.weight }));
    return buildMaglev(this.#pools.get(pool)!.tableSize, entries);
  }

  /** Builds a pool's table and swaps it in. @throws GuidewayError TABLE_HEAP; the old table stays then */
  publishTable(pool: string): void {
    const slots = this.buildTable(pool);
    this.#publication.reclaim();
    const block = this.#publication.allocate(tableBytes(slots.length));
    this.#arena.setWord(block + L.TABLE_SIZE, slots.length);
    this.#arena.u16.set(slots, (block + L.TABLE_SLOTS) / 2);
    this.#publication.publish(this.poolRecord(pool) + L.POOL_TABLE, block);
    this.#tables.set(pool, new PublishedTable(this.#pools.get(pool)!.tableSize, slots, this.backends));
  }

  /** The table that workers use. */
  table(pool: string): PublishedTable {
    return this.#tables.get(pool)!;
  }

  /**
   * Changes whether a backend gets packets, and swaps its pool's table. A backend that comes is ready before the
   * table shows it; one that goes is out of the table before its flows are let go.
   * @throws GuidewayError TABLE_HEAP; nothing is changed then
   */
  setBackendState(id: number, state: BackendState): void {
    const backend = this.backends[id]!;
    const before = backend.state;
    if (before === state) return;
    const write = (state: BackendState) =>
      this.#arena.setWord(this.backendRecord(id) + L.BACKEND_STATE, STATES[state]);
    backend.state = state;
    try {
      if (state === "active") write(state);
      if (before === "active" || state === "active") this.publishTable(backend.pool);
    } catch (error) {
      backend.state = before;
      write(before);
      throw error;
    }
    write(state);
  }

  /** Sets where a backend's packets go; undefined when that is not known, and its packets are dropped. */
  setNextHop(id: number, hop: NextHop | undefined): void {
    const word = hop ? nextHopWord(hop) : 0n;
    Atomics.store(this.#arena.u64, (this.backendRecord(id) + L.BACKEND_NEXT_HOP) / 8, word);
  }

  setInterface(index: number, settings: { mac: Uint8Array; mtu: number }): void {
    const at = this.#arena.plan.regions.interfaces.offset + index * L.INTERFACE_BYTES;
    this.#arena.u8.set(settings.mac, at + L.INTERFACE_MAC);
    this.#arena.setWord(at + L.INTERFACE_MTU, settings.mtu);
  }

  #publishServices(config: Config): void {
    this.vips = config.vips;
    this.services = expandServices(config);
    const slots = serviceSlots(this.services.length);
    const bytes = servicesBytes(this.services.length, config.vips.length);
    const block = this.#publication.allocate(bytes);
    const { u8 } = this.#arena;
    const view = new DataView(u8.buffer, block, bytes);
    u8.fill(0, block, block + bytes);
    const vips = L.SERVICES_SLOTS + slots * L.SERVICE_BYTES;
    view.setUint32(L.SERVICES_MASK, slots - 1, true);
    view.setUint32(L.SERVICES_VIPS, vips, true);
    for (const service of this.services) {
      const key = serviceKey(service);
      const words = new DataView(key.buffer);
      let slot =
        this.#exports.serviceHash(
          words.getBigUint64(0, true),
          words.getBigUint64(8, true),
          words.getUint32(L.SERVICE_PORT, true),
        ) &
        (slots - 1);
      const at = () => L.SERVICES_SLOTS + slot * L.SERVICE_BYTES;
      while (view.getUint8(at() + L.SERVICE_FAMILY) !== 0) slot = (slot + 1) & (slots - 1);
      u8.set(key, block + at());
      view.setUint16(at() + L.SERVICE_NUMBER, service.number, true);
      view.setUint16(at() + L.SERVICE_VIP, service.vipIndex, true);
    }
    config.vips.forEach((vip, index) => {
      const at = vips + index * L.VIP_BYTES;
      view.setUint32(at + L.VIP_INDEX, index, true);
      view.setUint32(at + L.VIP_POOL, this.poolRecord(vip.pool), true);
      view.setUint8(at + L.VIP_FORWARD, FORWARD_MODES[vip.forward]);
      view.setUint8(at + L.VIP_TTL, vip.tunnel.ttl);
      view.setUint8(at + L.VIP_FLAGS, vip.echo ? L.VIP_FLAG_ECHO : 0);
    });
    this.#publication.publish(L.HEADER_SERVICES, block);
  }
}
