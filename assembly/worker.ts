// A worker's side of its life, as the host drives it.
//
//   call       allowed when             does
//   attach     once, first              binds the instance to a worker's block; ends what a thread before it has left there
//   run        attached                 batches until the rings are empty; clock and sweep
//   settle     attached, rings empty    returns every frame; parks only follow a true
//   park       attached                 shows "offline": no published block is referred to until the next run
//   abandon    after run trapped        gives the batch in hand up

import { setClock } from "./clock";
import { endBegun, kickAgain } from "./commit";
import { add } from "./counters";
import { expireHeld, firstReady } from "./fragment-table";
import { recycle, wakeFill } from "./frames";
import { attach as bind, block } from "./instance";
import {
  COUNTER_BATCHES,
  COUNTER_BUSY_NS,
  COUNTER_KERNEL_NS,
  COUNTER_PARKS,
  COUNTER_TRAPS,
  HEADER_CLOCK,
  HEADER_EPOCH,
  WORKER_EPOCH,
  WORKER_HEARTBEAT,
  WORKER_OFFLINE,
  WORKER_STARTS,
} from "./layout";
import { followOwners } from "./owners";
import { process } from "./pipeline";
import { gather } from "./ports";
import { refreshServices } from "./services";
import { beginSweep, sweep } from "./sweep";

/** @returns the layout version, or 0 when the memory holds no arena of it */
export function attach(worker: u32): u32 {
  const version = bind(worker);
  if (version == 0) return 0;
  endBegun();
  const starts = load<u32>(block, WORKER_STARTS);
  store<u32>(block, starts + 1, WORKER_STARTS);
  beginSweep(starts);
  return version;
}

/**
 * Shows the epoch, then reads what is published: in this order, so that nothing read can be freed (src/dataplane/publication.ts).
 * @returns whether packets may be taken
 */
function observe(): bool {
  const epoch = atomic.load<u32>(HEADER_EPOCH);
  if (load<u32>(block, WORKER_EPOCH) != epoch) atomic.store<u32>(block + WORKER_EPOCH, epoch);
  if (!followOwners()) return false;
  refreshServices();
  return true;
}

/** The clock goes on: to the time that the controller dictates, else to the host's. */
function advance(clockMs: f64): void {
  const dictated = load<f64>(HEADER_CLOCK);
  if (!setClock(<u64>(dictated != 0 ? dictated : clockMs))) return;
  sweep();
  expireHeld();
}

/**
 * Works until the ports are empty or `passes` batches are done.
 * @param clockMs the clock, milliseconds
 * @returns packets taken
 */
export function run(clockMs: f64, passes: u32): u32 {
  let total: u32 = 0;
  let batches: u32 = 0;
  while (batches < passes) {
    if (!observe()) break;
    const count = gather();
    // After the packets: a dictated time is set before those that it is for are shown.
    advance(clockMs);
    if (count == 0) {
      // The clock may have ended the wait of fragments.
      if (firstReady() == 0) break;
      continue;
    }
    process(count);
    recycle();
    total += count;
    batches++;
  }
  if (batches != 0) add(COUNTER_BATCHES, batches);
  else recycle();
  kickAgain();
  wakeFill();
  store<u32>(block, load<u32>(block, WORKER_HEARTBEAT) + 1, WORKER_HEARTBEAT);
  return total;
}

/** @returns whether the worker's frames are back, and nothing waits to be sent */
export function settle(): bool {
  const waiting = kickAgain();
  return recycle() && !waiting;
}

export function abandon(): void {
  endBegun();
  add(COUNTER_TRAPS, 1);
}

export function park(): void {
  add(COUNTER_PARKS, 1);
  atomic.store<u32>(block + WORKER_EPOCH, WORKER_OFFLINE);
}

/** Accounts for the nanoseconds of passes that found packets: the worker's own, and the kernel's. */
export function busy(ownNs: f64, kernelNs: f64): void {
  add(COUNTER_BUSY_NS, <u64>ownNs);
  add(COUNTER_KERNEL_NS, <u64>kernelNs);
}
