// Which backends get packets: what health checks found and what operators asked for, made into states of the directory.
//
//   checked   asked for   state      gets
//   up        active      active     new flows and its own
//   up        draining    draining   its own flows
//   down      —           dead       nothing: its flows go elsewhere
//   —         dead        dead       the same
//
// A pool all of whose backends are down has none that is usable, unless it says `whenEmpty: open`: then all count as up.
//
//   a pool's   has                                             its VIPs are
//   usable     a backend that takes new flows                  announced
//   draining   none, but one that has flows still              announced: they must get here; new ones are dropped
//   neither    nothing that packets could go to                withdrawn

import type { BackendState } from "../dataplane/backend-records.ts";
import type { BackendChange, Directory, DirectoryBackend } from "../dataplane/directory.ts";
import type { Logger } from "../log.ts";

export interface AvailabilityOptions {
  directory: Directory;
  /** What the health checks say of a backend. */
  isUp: (pool: string, backend: string) => boolean;
  /** Flows that a backend has, by its number. */
  activeFlows: (id: number) => number;
  log: Logger;
  /** Called after states changed. */
  onChange: () => void;
}

export class Availability {
  readonly #options: AvailabilityOptions;
  /** What operators asked for, by pool and name, where it is not active. */
  readonly #asked = new Map<string, BackendState>();
  /** Pools that are open because nothing in them is up. */
  readonly #open = new Set<string>();

  constructor(options: AvailabilityOptions) {
    this.#options = options;
  }

  /** What operators asked for. */
  asked(pool: string, name: string): BackendState {
    return this.#asked.get(keyOf(pool, name)) ?? "active";
  }

  /** Whether all backends of the pool are down, and get packets nevertheless. */
  isOpen(pool: string): boolean {
    return this.#open.has(pool);
  }

  /** Whether some backend of the pool takes new flows. */
  isUsable(pool: string): boolean {
    return this.#options.directory.backendsOf(pool).some(takesFlows);
  }

  /** Whether no backend of the pool takes new flows, and some have flows that they keep. */
  isDraining(pool: string): boolean {
    const { directory, activeFlows } = this.#options;
    const backends = directory.backendsOf(pool);
    if (backends.some(takesFlows)) return false;
    return backends.some(({ id, state }) => state !== "dead" && activeFlows(id) > 0);
  }

  /** Whether this backend takes new flows, and no other of its pool does. @throws GuidewayError UNKNOWN */
  isLast(pool: string, name: string): boolean {
    const { directory } = this.#options;
    const backend = directory.backend(pool, name);
    return takesFlows(backend) && directory.backendsOf(pool).filter(takesFlows).length === 1;
  }

  /**
   * Drains a backend, takes it out or back in. It stays so until somebody asks for something else.
   * @throws GuidewayError UNKNOWN, or TABLE_HEAP and nothing is changed then
   */
  ask(pool: string, name: string, state: BackendState): void {
    const { directory } = this.#options;
    directory.backend(pool, name);
    const key = keyOf(pool, name);
    const before = this.asked(pool, name);
    const set = (value: BackendState) =>
      value === "active" ? this.#asked.delete(key) : this.#asked.set(key, value);
    set(state);
    try {
      this.refresh([pool]);
    } catch (error) {
      set(before);
      throw error;
    }
  }

  /** Remembers what was asked. @returns what asks for it again, to be followed by refresh() */
  remember(): () => void {
    const asked = [...this.#asked];
    return () => {
      this.#asked.clear();
      for (const [key, state] of asked) this.#asked.set(key, state);
    };
  }

  /** Forgets what was asked for backends that are not there any more, and pools that are not. */
  prune(): void {
    const { directory } = this.#options;
    for (const pool of this.#open) if (!directory.poolNames.includes(pool)) this.#open.delete(pool);
    const known = directory.poolNames.flatMap((pool) =>
      directory.backendsOf(pool).map(({ config }) => keyOf(pool, config.name)),
    );
    const there = new Set(known);
    for (const key of this.#asked.keys()) if (!there.has(key)) this.#asked.delete(key);
  }

  /** The state that a backend should have, were it in its pool now. @param isUp what its own check says */
  stateOf(pool: string, name: string, isUp = this.#options.isUp(pool, name)): BackendState {
    const asked = this.asked(pool, name);
    if (asked === "dead") return "dead";
    return isUp || this.isOpen(pool) ? asked : "dead";
  }

  /**
   * Brings the states of pools up to date, with one new table for each that changes.
   * @throws GuidewayError TABLE_HEAP; nothing is changed then
   */
  refresh(pools: readonly string[] = this.#options.directory.poolNames): void {
    const { directory, log, onChange } = this.#options;
    const switched = pools.filter((pool) => this.#shouldBeOpen(pool) !== this.isOpen(pool));
    for (const pool of switched) this.#switch(pool);
    const changes = pools.flatMap((pool) => this.#changesOf(pool));
    try {
      if (changes.length > 0) directory.update(changes);
    } catch (error) {
      for (const pool of switched) this.#switch(pool);
      throw error;
    }
    for (const pool of switched) this.#tell(pool);
    for (const { id, state } of changes) {
      const { pool, config } = directory.backends[id]!;
      log.info({ pool, backend: config.name, state }, "backend state");
    }
    if (changes.length > 0) onChange();
  }

  #changesOf(pool: string): BackendChange[] {
    return this.#options.directory.backendsOf(pool).flatMap(({ id, config, state: before }) => {
      const state = this.stateOf(pool, config.name);
      return state === before ? [] : [{ id, state }];
    });
  }

  #shouldBeOpen(pool: string): boolean {
    const { directory, isUp } = this.#options;
    if (directory.pool(pool).whenEmpty !== "open") return false;
    const backends = directory.backendsOf(pool);
    return backends.length > 0 && backends.every(({ config }) => !isUp(pool, config.name));
  }

  #switch(pool: string): void {
    if (!this.#open.delete(pool)) this.#open.add(pool);
  }

  #tell(pool: string): void {
    const { log } = this.#options;
    if (this.isOpen(pool))
      log.warn({ pool }, "all backends are down: all of them get packets (whenEmpty: open)");
    else log.info({ pool }, "not all backends are down any more: those that are get nothing");
  }
}

function takesFlows({ state, weight }: DirectoryBackend): boolean {
  return state === "active" && weight > 0;
}

function keyOf(pool: string, name: string): string {
  return `${pool}\n${name}`;
}
