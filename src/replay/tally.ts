// What became of the packets, counted.

import type { Verdict } from "../dataplane/reasons.ts";
import { reasons } from "../dataplane/reasons.ts";

/** The object that `replay --json` prints. Reasons and backends that no packet had are left out. */
export interface ReplaySummary {
  packets: number;
  forwarded: number;
  replied: number;
  passed: number;
  dropped: number;
  /** By name, in the order of their codes. */
  reasons: Record<string, number>;
  /** Packets forwarded, by the backend's name, in the order of the configuration. */
  backends: Record<string, number>;
}

export class Tally {
  /** By id. */
  readonly #names: readonly string[];
  readonly #verdicts: Record<Verdict, number> = { forward: 0, reply: 0, pass: 0, drop: 0 };
  readonly #reasons = new Map([...reasons.values()].map((name) => [name, 0]));
  readonly #backends: number[];

  /** @param names of backends, by id */
  constructor(names: readonly string[]) {
    this.#names = names;
    this.#backends = names.map(() => 0);
  }

  add({ verdict, reason, backend }: { verdict: Verdict; reason: string; backend: number }): void {
    this.#verdicts[verdict]++;
    this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1);
    if (verdict === "forward") this.#backends[backend]!++;
  }

  summary(): ReplaySummary {
    const { forward, reply, pass, drop } = this.#verdicts;
    const named = this.#names.map((name, id) => [name, this.#backends[id]!] as const);
    return {
      packets: forward + reply + pass + drop,
      forwarded: forward,
      replied: reply,
      passed: pass,
      dropped: drop,
      reasons: Object.fromEntries([...this.#reasons].filter(([, count]) => count > 0)),
      backends: Object.fromEntries(named.filter(([, count]) => count > 0)),
    };
  }
}
