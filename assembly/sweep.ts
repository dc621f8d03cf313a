// The sweep: each worker walks its shards' lines, a few per batch, so that every line is visited once per
// shortest timeout. It empties expired ways, and it is what keeps six bits enough for an age: an entry expires at
// 17 ticks, is visited at most 16 ticks later, and would be ambiguous only at 64.

import { beforeMs, nowMs, timeoutMs } from "./clock";
import { backendOf, isExpired, remove, stateOf } from "./conntrack";
import { add } from "./counters";
import { backends, lineAt, ownerOfShard, self, shardAt, shardLines } from "./instance";
import {
  AGE_PER_TIMEOUT,
  BACKEND_BYTES,
  BACKEND_STATE,
  BACKEND_STATE_FREE,
  COUNTER_EXPIRED,
  COUNTER_SWEPT,
  FLOW_UDP,
  SHARD_SWEPT_AT,
  SHARDS,
  WAYS,
} from "./layout";

/** Ticks after which an entry that saw no packet is expired whatever its age was. */
const SURELY_EXPIRED: u32 = AGE_PER_TIMEOUT + 2;

/** Odd, so that in time it leads to every shard. */
const STRIDE: u32 = 97;

let shard: u32 = 0;
let index: u32 = 0;
/** Lines due but not walked yet, times the period in milliseconds. */
let debt: u64 = 0;

/** A new thread begins elsewhere than the one before: where many die one after the other, no shard is left out. */
export function beginSweep(start: u32): void {
  shard = (start * STRIDE) & (SHARDS - 1);
}

function owns(shard: u32): bool {
  return ownerOfShard(shard) == self;
}

function ownedLines(): u32 {
  let owned: u32 = 0;
  for (let i: u32 = 0; i < SHARDS; i++) owned += u32(owns(i));
  return owned * shardLines;
}

/** Whether the entry's backend has left: its id must come out of the table before it can be another's. */
function isForsaken(entry: usize): bool {
  return load<u32>(backends + backendOf(entry) * BACKEND_BYTES, BACKEND_STATE) == BACKEND_STATE_FREE;
}

/** Empties the ways of a line that are expired or whose backend has left, or whose state's bit is set in `states`. */
function sweepLine(line: usize, states: u32): void {
  let expired: u64 = 0;
  for (let way: u32 = 0; way < WAYS; way++) {
    const entry = line + way;
    if (backendOf(entry) == 0) continue;
    if ((states >>> stateOf(entry)) & 1 || isExpired(entry) || isForsaken(entry)) {
      remove(entry);
      expired++;
    }
  }
  if (expired != 0) add(COUNTER_EXPIRED, expired);
}

/** Walks `lines` lines of own shards from where the last walk ended. */
function walk(lines: u32, states: u32): void {
  add(COUNTER_SWEPT, lines);
  while (lines != 0) {
    if (!owns(shard)) {
      shard = (shard + 1) & (SHARDS - 1);
      index = 0;
      continue;
    }
    sweepLine(lineAt(shard, index), states);
    store<u64>(shardAt(shard), nowMs, SHARD_SWEPT_AT);
    lines--;
    if (++index == shardLines) {
      index = 0;
      shard = (shard + 1) & (SHARDS - 1);
    }
  }
}

/** Called after the clock advanced: walks the lines that are due since. */
export function sweep(): void {
  const lines = ownedLines();
  if (lines == 0) return;
  const gap = nowMs - beforeMs;
  let period: u32 = 0xffffffff;
  let jumped: u32 = 0;
  for (let state: u32 = 0; state <= FLOW_UDP; state++) {
    const timeout = timeoutMs(state);
    if (timeout < period) period = timeout;
    if (gap * AGE_PER_TIMEOUT >= <u64>timeout * SURELY_EXPIRED) jumped |= 1 << state;
  }
  if (jumped != 0) {
    walk(lines, jumped);
    debt = 0;
    return;
  }
  debt += gap * lines;
  const due = debt / period;
  debt -= due * period;
  walk(due < lines ? <u32>due : lines, 0);
}
