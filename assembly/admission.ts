// How many new flows a second the connection table takes (`conntrack.newFlowsPerSecond`; docs/datapath.md §3), and how many
// ICMP errors the machine sends (`icmp.errorsPerSecond`; §5).
//
// A leaky bucket for each shard, so that it has one writer, and the number of workers never shows: what is admitted fills in
// WHOLE units, `perSecond` units leak out in a millisecond, which in all 256 shards together makes the configured rate, and
// the bucket holds what leaks out in a second, but at least one.

import { nowMs } from "./clock";
import { shardOf } from "./hash";
import { icmpErrors, newFlows, shardAt } from "./instance";
import { SHARD_ANSWERED, SHARD_ENTERED, SHARDS } from "./layout";

const MS_PER_SECOND: u64 = 1000;
const WHOLE: u64 = <u64>SHARDS * MS_PER_SECOND;
/** Of a bucket: its level, then the clock of when that was, 64 bits each. */
const AT: usize = 8;

/** Whether a bucket has room for one more; if so, it is put in. */
function admit(bucket: usize, perSecond: u64): bool {
  const since = load<u64>(bucket, AT);
  // Another owner's clock may have been a step ahead.
  const leaked = nowMs > since ? (nowMs - since) * perSecond : 0;
  const before = load<u64>(bucket);
  const level = (before > leaked ? before - leaked : 0) + WHOLE;
  const room = MS_PER_SECOND * perSecond;
  if (level > (room > WHOLE ? room : WHOLE)) return false;
  store<u64>(bucket, level);
  store<u64>(bucket, nowMs, AT);
  return true;
}

/**
 * Whether a new flow may be entered now; if so, it is taken to be. Exported by the module, so that the compiler does not put
 * it into the middle of the pipeline.
 */
export function mayEnter(key: u64): bool {
  return admit(shardAt(shardOf(key)) + SHARD_ENTERED, newFlows);
}

/** Whether an ICMP error may be sent about a flow now; if so, it is taken to be. */
export function mayAnswer(key: u64): bool {
  return icmpErrors != 0 && admit(shardAt(shardOf(key)) + SHARD_ANSWERED, icmpErrors);
}
