// The Piscina thread of a measurement: a worker that is fed by its own thread.
//
// A round: the feeder fills RX, all workers meet at the barrier, each works until its RX is empty (timed), the feeder takes
// what was sent. So all of them work at the same time, and what one takes from the others (caches, memory, a shared core) is
// in the figures; making packets is not.

import { performance } from "node:perf_hooks";
import { instantiate, noSockets } from "../dataplane/binary.ts";
import { GuidewayError } from "../errors.ts";
import { loadNative } from "../native.ts";
import { Barrier } from "./barrier.ts";
import { Feeder } from "./feeder.ts";
import type { TurnReport, TurnTask } from "./thread-task.ts";
import { packetsOf } from "./traffic.ts";

/** Packets of a round: what the RX ring holds. */
const ROUND = 2048;
/** Batches of one call, as in src/dataplane/worker.ts. */
const PASSES = 16;
/** Calls without a packet after which something is wrong. */
const MOST_EMPTY = 1000;

export default function turn(task: TurnTask): TurnReport {
  const { memory, worker, traffic, enters } = task;
  if (task.cpu !== undefined) loadNative().pinThread(task.cpu);
  const exports = instantiate(task.module, memory, noSockets);
  exports.attach(worker);
  const feeder = new Feeder(memory, task.rings, task.frames);
  const packets = packetsOf(traffic, memory, enters ? 0 : task.from, enters);
  const barrier = new Barrier(task.barrier, task.workers);
  let clockMs = task.clockMs;
  let sent = 0;

  /** Works the RX ring off. @returns nanoseconds */
  const work = (count: number): number => {
    const before = performance.now();
    let empty = 0;
    for (let left = count; left > 0; ) {
      const taken = exports.run(clockMs, PASSES);
      left -= taken;
      empty = taken === 0 ? empty + 1 : 0;
      if (empty > MOST_EMPTY)
        throw new GuidewayError("BENCH", `worker ${worker} takes no packets: ${left} are left of ${count}`);
    }
    const tookMs = performance.now() - before;
    clockMs += tookMs;
    return tookMs * 1e6;
  };

  let total = 0;
  const round = (most: number): [ns: number, packets: number] => {
    const count = packets.count === 0 ? 0 : feeder.offer(packets, most);
    barrier.wait();
    const ns = work(count);
    total += count;
    sent += feeder.collect();
    return [ns, count];
  };

  const report = (roundsNs: number[], roundPackets: number[]): TurnReport => {
    // Frames that are on their way back belong to the next turn.
    exports.settle();
    exports.park();
    return { roundsNs, roundPackets, packets: total, sent, clockMs };
  };

  if (enters) {
    for (let left = packets.count; left > 0; ) left -= enter(Math.min(left, ROUND));
    return report([], []);
  }
  for (let i = 0; i < task.warmRounds; i++) round(ROUND);
  const roundsNs: number[] = [];
  const roundPackets: number[] = [];
  for (let i = 0; i < task.rounds; i++) {
    const [ns, count] = round(ROUND);
    roundsNs.push(ns);
    roundPackets.push(count);
  }
  return report(roundsNs, roundPackets);

  /** A round that meets nobody: some workers have more flows than others. @returns packets */
  function enter(most: number): number {
    const count = feeder.offer(packets, most);
    // Without a frame the call brings some back.
    if (count === 0) exports.run(clockMs, 1);
    else work(count);
    total += count;
    sent += feeder.collect();
    return count;
  }
}
