// What is in force of a configuration, and what tells its parts apart from one configuration to the next.

import type { BackendConfig, Config } from "../config/schema.ts";
import type { Service } from "../config/services.ts";
import type { BackendState } from "./backend-records.ts";
import type { Slot } from "./steering.ts";

/** A backend of a pool, under its id. */
export interface DirectoryBackend {
  id: number;
  pool: string;
  config: BackendConfig;
  state: BackendState;
  /** In force: the configuration's, unless update() changed it. */
  weight: number;
}

export interface BackendChange {
  id: number;
  state?: BackendState;
  weight?: number;
}

/** State of a backend, by pool and name. */
export type StateOf = (pool: string, backend: string) => BackendState;

/** What apply() changed. */
export interface Applied {
  added: DirectoryBackend[];
  removed: DirectoryBackend[];
  /** Pools whose table was swapped. */
  tables: string[];
  services: { added: Service[]; removed: Service[] };
  /** Of the services block, besides services; what changed is in both. */
  slots: { added: Slot[]; removed: Slot[] };
}

/** What is in force of a configuration. */
export interface InForce {
  pools: Config["pools"];
  /** Backends of each pool, in the order of the configuration. */
  members: ReadonlyMap<string, DirectoryBackend[]>;
  vips: Config["vips"];
  /** Number of the counters of each VIP. */
  vipNumbers: number[];
  services: Service[];
  slots: Slot[];
  servicesBytes: Uint8Array;
}

/** The same name at another address is another backend: its flows must not follow. */
export function backendKey(pool: string, { name, address, port }: BackendConfig): string {
  return `${pool}\n${name}\n${address}\n${port ?? ""}`;
}

/** What came and what went, by a key. */
export function differences<T, K>(before: readonly T[], after: readonly T[], key: (each: T) => K) {
  const old = new Set(before.map(key));
  const now = new Set(after.map(key));
  return {
    added: after.filter((each) => !old.has(key(each))),
    removed: before.filter((each) => !now.has(key(each))),
  };
}
