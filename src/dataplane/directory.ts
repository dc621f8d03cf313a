// Who is who in the arena (layout.ts): pools, backends, services and VIPs, their numbers, what is published. Writer: controller.
//
// A configuration is applied as the difference to the one before. What stays keeps its number, so flows stay:
//
//   admit(config)   new backends get an id and a record; no packet goes to them yet, their next hops can be found
//   apply(config)   everything is built and stored in the heap, then tables and services are swapped in
//
// Each pool's table and the services block is one pointer: a packet sees a VIP as it was before or as it is after. A number
// that is let go rests until no worker, and no entry of the connection table, can refer to it.

import * as L from "../../assembly/layout.ts";
import type { BackendConfig, Config, PoolConfig } from "../config/schema.ts";
import { expandServices, numberName, type Service, serviceName } from "../config/services.ts";
import { GuidewayError } from "../errors.ts";
import type { Arena } from "./arena.ts";
import { BackendRecords, type BackendState, type NextHop } from "./backend-records.ts";
import type { DataplaneExports } from "./binary.ts";
import type { Engine } from "./engine.ts";
import {
  type Applied,
  type BackendChange,
  backendKey,
  type DirectoryBackend,
  differences,
  type InForce,
  type StateOf,
} from "./in-force.ts";
import { Numbers } from "./numbers.ts";
import type { Publication } from "./publication.ts";
import { PublishedBlocks } from "./published-blocks.ts";
import type { PublishedTable } from "./published-table.ts";
import { servicesBlock, servicesEntry } from "./services-block.ts";
import type { Statistics } from "./statistics.ts";
import { type Slot, slotName, slotsOf } from "./steering.ts";
import type { Succession } from "./succession.ts";
import { swept } from "./swept.ts";
import { buildMaglev } from "./table-builder.ts";
import { type StagedTable, type TableSource, Tables } from "./tables.ts";
import { machineSources, mayFragment } from "./tunnel-record.ts";

export type { Applied, BackendChange, DirectoryBackend } from "./in-force.ts";

type Settings = Pick<DirectoryBackend, "config" | "weight">;

export class Directory {
  readonly #arena: Arena;
  readonly #publication: Publication;
  readonly #exports: DataplaneExports;
  readonly #statistics: Statistics;
  readonly #tables: Tables;
  readonly #interfaces: { mac: Uint8Array; mtu: number }[] = [];
  readonly records: BackendRecords;
  /** What is in the heap by now, for those who check that it stays. */
  readonly published: PublishedBlocks;
  /** By id; index 0, and what left, are holes. */
  readonly backends: DirectoryBackend[] = [];
  #inForce: InForce = {
    pools: {},
    members: new Map(),
    vips: [],
    vipNumbers: [],
    services: [],
    slots: [],
    servicesBytes: new Uint8Array(),
  };
  #own: readonly Slot[] = [];
  readonly #pools: Numbers;
  readonly #ids: Numbers;
  readonly #vips: Numbers;
  readonly #succession: Succession;

  constructor({ arena, publication, exports, statistics }: Engine, succession: Succession) {
    this.#succession = succession;
    this.#arena = arena;
    this.#publication = publication;
    this.#exports = exports;
    this.#statistics = statistics;
    this.published = new PublishedBlocks(arena, publication);
    this.#tables = new Tables(arena, publication, this.published);
    this.records = new BackendRecords(arena);
    this.#pools = new Numbers("pools", 0, arena.plan.poolCapacity);
    this.#vips = new Numbers("VIPs", 0, arena.plan.vipCapacity);
    this.#ids = new Numbers("backends", 1, arena.plan.backendCapacity);
  }

  // ── Configurations ─────────────────────────────────────────────────────────────────────────────

  /**
   * Gives the backends that are new in a configuration an id. What is not applied afterwards is given up with dismiss().
   * @throws GuidewayError CAPACITY; nothing is changed then
   */
  admit(config: Pick<Config, "pools">, stateOf: StateOf = () => "active"): DirectoryBackend[] {
    this.reclaim();
    const admitted: DirectoryBackend[] = [];
    try {
      for (const [pool, { backends }] of Object.entries(config.pools)) {
        for (const each of backends) {
          const key = backendKey(pool, each);
          if (this.#ids.get(key) === undefined)
            admitted.push(this.#addBackend(this.#ids.take(key), pool, each, stateOf(pool, each.name)));
        }
      }
    } catch (error) {
      this.dismiss(admitted);
      throw error;
    }
    return admitted;
  }

  /** Gives up backends that were admitted, but for those of the configuration in force. */
  dismiss(admitted: readonly DirectoryBackend[]): void {
    for (const backend of admitted) {
      const { id, pool, config } = backend;
      if (this.backendsOf(pool).includes(backend)) continue;
      this.#ids.drop(backendKey(pool, config));
      this.#removeBackend(id);
    }
  }

  /**
   * Puts a configuration in force: its pools, backends and VIPs, and nothing of the one before.
   * @throws GuidewayError CAPACITY or TABLE_HEAP; the configuration before stays then
   */
  apply(config: Pick<Config, "pools" | "vips">): Applied {
    const added = this.admit(config);
    const before = this.#inForce;
    const settings = this.#takeOver(config);
    const taken: (() => void)[] = [];
    let staged: StagedTable[] = [];
    try {
      this.#inForce = this.#resolve(config, taken);
      staged = this.#tables.stage(this.poolNames.map((pool) => this.#source(pool)));
      const block = this.#stageServices(before.servicesBytes);
      this.#succession.record(this.#ids.numbering());
      return this.#commit(before, added, staged, block);
    } catch (error) {
      this.#inForce = before;
      this.#tables.discard(staged);
      for (const giveBack of taken) giveBack();
      for (const [backend, each] of settings) Object.assign(backend, each);
      this.dismiss(added);
      throw error;
    }
  }

  /** The settings of backends that stay. @returns what they were before */
  #takeOver(config: Pick<Config, "pools">): Map<DirectoryBackend, Settings> {
    const before = new Map<DirectoryBackend, Settings>();
    for (const [pool, { backends }] of Object.entries(config.pools)) {
      for (const each of backends) {
        const backend = this.#known(pool, each);
        before.set(backend, { config: backend.config, weight: backend.weight });
        // A weight that a command set stays until the configuration says another one.
        if (each.weight !== backend.config.weight) backend.weight = each.weight;
        backend.config = each;
      }
    }
    return before;
  }

  #known(pool: string, config: BackendConfig): DirectoryBackend {
    return this.backends[this.#ids.get(backendKey(pool, config))!]!;
  }

  /** Numbers everything in a configuration. @param taken gets what gives each new number back */
  #resolve({ pools, vips }: Pick<Config, "pools" | "vips">, taken: (() => void)[]): InForce {
    const take = (numbers: Numbers, key: string) => {
      const isNew = numbers.get(key) === undefined;
      const number = numbers.take(key);
      if (isNew) taken.push(() => numbers.drop(key));
      return number;
    };
    const members = new Map<string, DirectoryBackend[]>();
    for (const [pool, { backends }] of Object.entries(pools)) {
      take(this.#pools, pool);
      const known = backends.map((each) => this.#known(pool, each));
      members.set(pool, known);
      for (const { id } of known) this.records.setPool(id, this.poolRecord(pool));
    }
    const vipNumbers = vips.map(({ name }) => {
      const isNew = this.#vips.get(name) === undefined;
      const number = take(this.#vips, name);
      if (isNew) this.#statistics.rebaseVip(number);
      return number;
    });
    const services = expandServices({ vips }).map((service) => ({
      ...service,
      number: take(this.#succession.services, numberName(service)),
    }));
    const slots = slotsOf({ vips, pools }, services, (...of) => this.#known(...of).id, this.#own);
    const poolRecord = (name: string) => this.poolRecord(name);
    const sources = machineSources(this.#arena);
    const parts = { services, slots, vips, vipNumbers, members, poolRecord, sources };
    const servicesBytes = servicesBlock(parts, this.#exports.slotHash);
    return { pools, members, vips, vipNumbers, services, slots, servicesBytes };
  }

  /** Where the services block lies in the heap, unless it is the published one. */
  #stageServices(published: Uint8Array): number | undefined {
    const { servicesBytes } = this.#inForce;
    if (Buffer.compare(servicesBytes, published) === 0) return undefined;
    const block = this.#publication.allocate(servicesBytes.length);
    this.#arena.u8.set(servicesBytes, block);
    return block;
  }

  /** Swaps everything in. Cannot fail. */
  #commit(
    before: InForce,
    added: DirectoryBackend[],
    staged: StagedTable[],
    block: number | undefined,
  ): Applied {
    for (const each of staged) this.#tables.publish(each, this.poolRecord(each.pool));
    const now = this.#inForce;
    this.#arena.setReserve(now.vips.some(mayFragment));
    if (block !== undefined) {
      this.#publication.publish(L.HEADER_SERVICES, block);
      this.published.set(servicesEntry(block, now.servicesBytes));
    }
    const { epoch } = this.#publication;
    const passed = () => this.#publication.passed(epoch);

    const vips = new Set(now.vips.map(({ name }) => name));
    for (const { name } of before.vips) if (!vips.has(name)) this.#vips.rest(name, passed);

    for (const pool of before.members.keys()) {
      if (now.members.has(pool)) continue;
      const cell = this.poolRecord(pool) + L.POOL_TABLE;
      this.#tables.forget(pool, this.poolRecord(pool));
      this.#pools.rest(pool, passed, () => this.#publication.publish(cell, 0));
    }

    const services = differences(before.services, now.services, serviceName);
    const expired = swept(this.#statistics, this.#statistics.sweepsToExpiry());
    this.#succession.services.restReserved(expired);
    const numbers = differences(before.services, now.services, numberName);
    for (const name of new Set(numbers.removed.map(numberName)))
      this.#succession.services.rest(name, expired);

    const members = (of: InForce) => [...of.members.values()].flat();
    const { removed } = differences(members(before), members(now), ({ id }) => id);
    const gone = swept(this.#statistics, 2);
    for (const { id, pool, config } of removed) {
      this.#removeBackend(id);
      this.#ids.rest(backendKey(pool, config), gone);
    }
    const slots = differences(before.slots, now.slots, slotName);
    return { added, removed, tables: staged.map(({ pool }) => pool), services, slots };
  }

  /** Frees numbers and blocks that nobody can refer to any more. */
  reclaim(): void {
    for (const numbers of [this.#pools, this.#ids, this.#vips, this.#succession.services]) numbers.reclaim();
    this.#publication.reclaim();
  }

  get vips(): Config["vips"] {
    return this.#inForce.vips;
  }

  /** Number of the counters of each of `vips`. */
  get vipNumbers(): readonly number[] {
    return this.#inForce.vipNumbers;
  }

  get services(): Service[] {
    return this.#inForce.services;
  }

  /** What tells answers of backends apart from everything else. */
  get slots(): readonly Slot[] {
    return this.#inForce.slots;
  }

  /** Says which addresses are this machine's own (ownSlot). @throws GuidewayError TABLE_HEAP; then it is in force with the next apply() */
  setOwn(own: readonly Slot[]): Applied {
    this.#own = own;
    return this.apply(this.#inForce);
  }

  // ── Backends ───────────────────────────────────────────────────────────────────────────────────

  #addBackend(id: number, pool: string, config: BackendConfig, state: BackendState): DirectoryBackend {
    const backend: DirectoryBackend = { id, pool, config, state, weight: config.weight };
    this.backends[id] = backend;
    this.#statistics.rebaseBackend(id);
    this.records.write(id, config, backend.state);
    return backend;
  }

  #removeBackend(id: number): void {
    this.records.free(id);
    delete this.backends[id];
  }

  backendRecord(id: number): number {
    return this.records.at(id);
  }

  /** In the order of the configuration. */
  backendsOf(pool: string): readonly DirectoryBackend[] {
    return this.#inForce.members.get(pool) ?? [];
  }

  /** @throws GuidewayError UNKNOWN when there is no such pool or backend */
  backend(pool: string, name: string): DirectoryBackend {
    const backend = this.backendsOf(pool).find(({ config }) => config.name === name);
    if (backend) return backend;
    throw new GuidewayError(
      "UNKNOWN",
      `there is no backend ${JSON.stringify(name)} in pool ${JSON.stringify(pool)}`,
    );
  }

  /**
   * Changes which backends get packets, and how many, with one new table for each pool concerned. A backend that comes is
   * ready before the table shows it; one that goes is out of the table before its flows are let go.
   * @throws GuidewayError TABLE_HEAP; nothing is changed then
   */
  update(changes: readonly BackendChange[]): void {
    const before = changes.map(({ id }) => ({ ...this.backends[id]! }));
    const pools = new Set(before.map(({ pool }) => pool));
    for (const { id, ...change } of changes) Object.assign(this.backends[id]!, change);
    let staged: StagedTable[];
    try {
      staged = this.#tables.stage([...pools].map((pool) => this.#source(pool)));
    } catch (error) {
      for (const each of before) Object.assign(this.backends[each.id]!, each);
      throw error;
    }
    const changed = changes.map(({ id }) => this.backends[id]!);
    const write = ({ id, state }: DirectoryBackend) => this.records.setState(id, state);
    changed.filter(({ state }) => state === "active").forEach(write);
    for (const each of staged) this.#tables.publish(each, this.poolRecord(each.pool));
    changed.forEach(write);
  }

  /** Changes whether a backend gets packets: see update(). */
  setBackendState(id: number, state: BackendState): void {
    this.update([{ id, state }]);
  }

  /** Sets where a backend's packets go; undefined when that is not known, and its packets are dropped. */
  setNextHop(id: number, hop: NextHop | undefined): void {
    this.records.setNextHop(id, hop);
  }

  // ── Pools ──────────────────────────────────────────────────────────────────────────────────────

  get poolNames(): string[] {
    return Object.keys(this.#inForce.pools);
  }

  /** Its configuration in force. */
  pool(name: string): PoolConfig {
    return this.#inForce.pools[name]!;
  }

  poolRecord(name: string): number {
    return this.#arena.plan.regions.pools.offset + this.#pools.get(name)! * L.POOL_BYTES;
  }

  #active(pool: string): DirectoryBackend[] {
    return this.backendsOf(pool).filter(({ state }) => state === "active");
  }

  #source(pool: string): TableSource {
    return {
      pool,
      size: this.pool(pool).tableSize,
      backends: this.#active(pool).map(({ id, weight, config }) => ({ id, weight, name: config.name })),
      build: () => this.buildTable(pool),
    };
  }

  /** Ids in slot order of the pool's table as it would be built now: from its active backends. */
  buildTable(pool: string): Uint16Array {
    const entries = this.#active(pool).map(({ id, config, weight }) => ({ id, key: config.name, weight }));
    return buildMaglev(this.pool(pool).tableSize, entries);
  }

  /** The table that workers use. */
  table(pool: string): PublishedTable {
    return this.#tables.get(pool);
  }

  /** As it was set last. */
  interface(index: number): { mac: Uint8Array; mtu: number } | undefined {
    return this.#interfaces[index];
  }

  setInterface(index: number, settings: { mac: Uint8Array; mtu: number }): void {
    this.#interfaces[index] = settings;
    this.#arena.setInterface(index, settings);
  }
}
