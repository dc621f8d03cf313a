// docs/datapath.md §3: how many new flows a second are entered. A bucket for each shard that leaks at its part of the rate.

const SHARDS = 256;

export class Admission {
  readonly #perSecond: number;
  /** By shard: when the flows in the bucket will all have leaked away, in 256000ths of a flow's time: exact integers. */
  readonly #emptyAt = new Map<bigint, bigint>();

  /** @param perSecond of all shards together; 0 for no limit */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** Whether the flow with this key may be entered; if so, it is taken to be. */
  enter(key: bigint, clockMs: number): boolean {
    if (this.#perSecond === 0) return true;
    // In a millisecond `perSecond` parts of a flow leak out of a shard, of which SHARDS × 1000 make a whole one.
    const now = BigInt(clockMs) * BigInt(this.#perSecond);
    const flow = BigInt(SHARDS * 1000);
    const second = 1000n * BigInt(this.#perSecond);
    const room = second > flow ? second : flow;
    const shard = key & 255n;
    const emptyAt = this.#emptyAt.get(shard) ?? 0n;
    const after = (emptyAt > now ? emptyAt : now) + flow;
    if (after > now + room) return false;
    this.#emptyAt.set(shard, after);
    return true;
  }
}
