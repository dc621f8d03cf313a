// Which worker owns which shard, and how that changes while packets flow.
//
// There are two maps. The controller writes the one that is not in force and shows it by its version, the one's before plus 1.
// Everything that is known of a shard has one writer, its owner, so a worker may act by the new map only when nobody acts by the old
// one any more:
//
//   at the start of each batch    a new version? show it (WORKER_OWNERS): the old map is not used here any more
//                                 all workers show it, or are parked? go on by the new map
//                                 else: take no packets in this pass
//
// That is a wait for the end of the others' batches, some microseconds; packets wait in their rings. Those that are in the rings
// of their old owners are handed over. A parked worker shows that it runs before it looks at the version, so nobody can miss it.

import { recountHeld } from "./fragment-table";
import { adoptOwners, block, NO_VERSION, ownersVersion, self } from "./instance";
import {
  HEADER_OWNERS,
  HEADER_WORKER_COUNT,
  HEADER_WORKERS,
  WORKER_BYTES,
  WORKER_EPOCH,
  WORKER_OFFLINE,
  WORKER_OWNERS,
} from "./layout";

/** Whether another worker may still act by an older map. */
function isAwaited(version: u32): bool {
  const count = load<u32>(HEADER_WORKER_COUNT);
  for (let i: u32 = 0; i < count; i++) {
    if (i == self) continue;
    const other = <usize>load<u32>(HEADER_WORKERS) + i * WORKER_BYTES;
    if (atomic.load<u32>(other + WORKER_EPOCH) == WORKER_OFFLINE) continue;
    if (atomic.load<u32>(other + WORKER_OWNERS) != version) return true;
  }
  return false;
}

function follow(version: u32): bool {
  if (load<u32>(block, WORKER_OWNERS) != version) atomic.store<u32>(block + WORKER_OWNERS, version);
  if (isAwaited(version)) return false;
  adoptOwners(version);
  recountHeld();
  return true;
}

/**
 * Called before each batch, after the worker has shown that it runs. Other shards come with the next pass, for which the clock is read
 * anew: it must not be behind the times that their former owners have noted.
 * @returns whether packets may be taken
 */
export function followOwners(): bool {
  const version = atomic.load<u32>(HEADER_OWNERS);
  if (version == ownersVersion) return true;
  const isFirst = ownersVersion == NO_VERSION;
  return follow(version) && isFirst;
}
