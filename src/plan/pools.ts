// What becomes of present connections. The connection table keeps them where they are, whatever the lookup tables
// say, for as long as their backend is there.

import type { BackendConfig, Config } from "../config/schema.ts";
import type { Plan } from "./plan.ts";
import type { StateOf } from "./tables.ts";

/** What becomes of connections to a pool's backends. Those of backends that were dead before are lost already. */
export interface PoolFate {
  pool: string;
  /** Names of backends that keep their connections. */
  keep: string[];
  /** Names of backends that lose them: they vanish, get another address or port, or die. */
  lose: string[];
}

/** Connections in the connection table now, by pool and name of a backend. */
export type ActiveFlows = (pool: string, backend: string) => number;

/** What becomes of present connections; parts are fractions, 0 to 1. */
export interface ConnectionPlan {
  /** Connections, and the part of them that moves. */
  present: number;
  moved: number;
  /**
   * The part that moves by name of a VIP before the change. Connections are counted by backend: VIPs that share a pool
   * share its figure, except that one that vanishes loses all of its.
   */
  vips: Record<string, number>;
  /** Backends that lose connections, most first. */
  backends: { pool: string; backend: string; connections: number }[];
}

export function poolFates(old: Config, next: Config, states: StateOf, statesAfter: StateOf): PoolFate[] {
  return Object.entries(old.pools).map(([pool, { backends }]) => {
    const after = new Map(
      (Object.hasOwn(next.pools, pool) ? next.pools[pool]!.backends : []).map((each) => [each.name, each]),
    );
    const stays = ({ name, address, port }: BackendConfig) => {
      const same = after.get(name);
      return same?.address === address && same.port === port && statesAfter(pool, name) !== "dead";
    };
    const living = backends.filter(({ name }) => states(pool, name) !== "dead");
    const [keep, lose] = [living.filter(stays), living.filter((each) => !stays(each))];
    return { pool, keep: keep.map(({ name }) => name), lose: lose.map(({ name }) => name) };
  });
}

/** How many of the present connections a plan would move. */
export function connectionsMoved({ vips, pools }: Plan, activeFlows: ActiveFlows): ConnectionPlan {
  const users = Map.groupBy(
    vips.filter(({ pools }) => pools.before !== null),
    ({ pools }) => pools.before,
  );
  const total = { present: 0, moved: 0 };
  const parts = new Map<string, number>();
  const losing: ConnectionPlan["backends"] = [];
  for (const { pool, keep, lose } of pools) {
    // Without a VIP there is nothing that a connection could come by.
    const ends = users.has(pool) && users.get(pool)!.every(({ change }) => change === "removed");
    let [stay, move] = [0, 0];
    for (const [backends, moves] of [
      [keep, ends],
      [lose, true],
    ] as const) {
      for (const backend of backends) {
        const connections = activeFlows(pool, backend);
        if (moves) move += connections;
        else stay += connections;
        if (moves && connections > 0) losing.push({ pool, backend, connections });
      }
    }
    total.present += stay + move;
    total.moved += move;
    parts.set(pool, move === 0 ? 0 : move / (stay + move));
  }
  return {
    present: total.present,
    moved: total.present === 0 ? 0 : total.moved / total.present,
    vips: Object.fromEntries(
      vips.flatMap(({ nameBefore, change, pools }) => {
        if (nameBefore === null) return [];
        return [[nameBefore, change === "removed" ? 1 : parts.get(pools.before!)!] as const];
      }),
    ),
    backends: losing.sort((a, b) => b.connections - a.connections),
  };
}
