// What became of the packets, counted.

import type { Verdict } from "../dataplane/reasons.ts";
import { reasons } from "../dataplane/reasons.ts";

/** The object that `replay --json` prints. Reasons, VIPs and backends that no packet had are left out. */
export interface ReplaySummary {
  packets: number;
  forwarded: number;
  replied: number;
  passed: number;
  dropped: number;
  /** By name, in the order of their codes. */
  reasons: Record<string, number>;
  /** What became of each VIP's packets: by its name, in the order of the configuration, then by reason. */
  vips: Record<string, Record<string, number>>;
  /** Packets forwarded, by the backend's name, in the order of the configuration. */
  backends: Record<string, number>;
}

interface Tallied {
  verdict: Verdict;
  reason: string;
  /** Index of the VIP. */
  vip: number | undefined;
  backend: number;
}

/** In the order of their codes. */
const noReasons = () => new Map([...reasons.values()].map((name) => [name, 0]));

const count = (counts: Map<string, number>, name: string) => counts.set(name, (counts.get(name) ?? 0) + 1);

const occurred = (counts: ReadonlyMap<string, number>) =>
  Object.fromEntries([...counts].filter(([, count]) => count > 0));

export class Tally {
  /** By id. */
  readonly #names: readonly string[];
  readonly #verdicts: Record<Verdict, number> = { forward: 0, reply: 0, pass: 0, drop: 0 };
  readonly #reasons = noReasons();
  readonly #vips: { name: string; reasons: Map<string, number> }[];
  readonly #backends: number[];

  /** @param vips names, by index @param names of backends, by id */
  constructor(vips: readonly string[], names: readonly string[]) {
    this.#vips = vips.map((name) => ({ name, reasons: noReasons() }));
    this.#names = names;
    this.#backends = names.map(() => 0);
  }

  add({ verdict, reason, vip, backend }: Tallied): void {
    this.#verdicts[verdict]++;
    count(this.#reasons, reason);
    if (vip !== undefined) count(this.#vips[vip]!.reasons, reason);
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
      reasons: occurred(this.#reasons),
      vips: Object.fromEntries(
        this.#vips
          .map(({ name, reasons }) => [name, occurred(reasons)] as const)
          .filter(([, reasons]) => Object.keys(reasons).length > 0),
      ),
      backends: Object.fromEntries(named.filter(([, count]) => count > 0)),
    };
  }
}
