// How many new flows a second the connection table takes (`conntrack.newFlowsPerSecond`; docs/datapath.md §3).
//
// A leaky bucket for each shard, so that it has one writer, and the number of workers never shows: a flow fills in
// FLOW units, `newFlows` units leak out in a millisecond, which in all 256 shards together makes the configured rate, and
// the bucket holds what leaks out in a second, but at least one flow.

import { nowMs } from "./clock";
import { shardOf } from "./hash";
import { newFlows, shardAt } from "./instance";
import { SHARD_ENTERED, SHARD_ENTERED_AT, SHARDS } from "./layout";

const MS_PER_SECOND: u64 = 1000;
const FLOW: u64 = <u64>SHARDS * MS_PER_SECOND;

/**
 * Whether a new flow may be entered now; if so, it is taken to be. Exported by the module, so that the compiler does not put
 * it into the middle of the pipeline.
 */
export function mayEnter(key: u64): bool {
  const shard = shardAt(shardOf(key));
  const since = load<u64>(shard, SHARD_ENTERED_AT);
  // Another owner's clock may have been a step ahead.
  const leaked = nowMs > since ? (nowMs - since) * newFlows : 0;
  const before = load<u64>(shard, SHARD_ENTERED);
  const level = (before > leaked ? before - leaked : 0) + FLOW;
  const room = MS_PER_SECOND * newFlows;
  if (level > (room > FLOW ? room : FLOW)) return false;
  store<u64>(shard, level, SHARD_ENTERED);
  store<u64>(shard, nowMs, SHARD_ENTERED_AT);
  return true;
}
