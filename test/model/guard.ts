// docs/datapath.md §8: a VIP's guard. Buckets are exact here and never forgotten.

import { PrefixMap } from "./prefix-map.ts";
import type { VipSetup } from "./setup.ts";

/** Parts of a millisecond in which buckets are counted. */
const UNITS = 1n << 20n;
const SECOND = 1000n * UNITS;

export class Guard {
  readonly #vip: VipSetup;
  /** Whether a source may send. */
  readonly #sources: PrefixMap<boolean>;
  /** When the bucket of a source prefix will be empty. */
  readonly #emptyAt = new Map<string, bigint>();

  constructor(vip: VipSetup) {
    this.#vip = vip;
    const { allow = [], deny = [] } = vip.guard ?? {};
    this.#sources = new PrefixMap([
      ...allow.map((prefix) => [prefix, true] as const),
      ...deny.map((prefix) => [prefix, false] as const),
    ]);
  }

  /** Why a packet may not pass, or undefined; one that may is counted. */
  refusal(source: Uint8Array, clockMs: number): "denied" | "rate-limited" | undefined {
    const { guard } = this.#vip;
    if (!guard) return undefined;
    const isAllowed = this.#sources.find(source) ?? guard.allow === undefined;
    if (!isAllowed) return "denied";
    const { limit = 0, prefix = 24, prefix6 = 64 } = guard.packetsPerSecond ?? {};
    if (limit === 0) return undefined;
    const bits = [...source].map((byte) => byte.toString(2).padStart(8, "0")).join("");
    const bucket = bits.slice(0, source.length === 4 ? prefix : prefix6);
    const now = BigInt(clockMs) * UNITS;
    const before = this.#emptyAt.get(bucket) ?? 0n;
    const after = (before > now ? before : now) + SECOND / BigInt(limit);
    if (after > now + SECOND) return "rate-limited";
    this.#emptyAt.set(bucket, after);
    return undefined;
  }
}
