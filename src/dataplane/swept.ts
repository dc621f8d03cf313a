// When nothing of the connection table can refer to what has gone: after sweeps through all of it.

import type { Statistics } from "./statistics.ts";

/** @returns true once every worker has swept all of its lines so often from now on, or from when they last became others */
export function swept(statistics: Statistics, times: number): () => boolean {
  const look = () => ({ by: statistics.sweepers(), sweeps: statistics.sweeps() });
  let before = look();
  return () => {
    const now = look();
    if (now.by !== before.by) before = now;
    return now.sweeps.every((sweeps, worker) => {
      const then = before.sweeps[worker];
      return sweeps === undefined || then === undefined || sweeps - then >= times;
    });
  };
}
