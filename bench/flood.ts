// `bench flood`: established flows under a flood of new ones, without a NIC. The flood is several times what the connection
// table has room for. None of the established flows may change its backend or lose a packet, and nothing may grow: it
// fails where one does.

import * as L from "../assembly/layout.ts";
import { GuidewayError } from "../src/errors.ts";
import { rounded } from "../src/quantiles.ts";
import { FloodBed } from "./flood/bed.ts";
import type { SuiteOptions } from "./suite.ts";

const ESTABLISHED = 10_000;
const FLOOD = 5_000_000;
const QUICK_FLOOD = 600_000;
/** Flows that the table is configured for; it has room for up to four times as many. */
const FLOWS = 1 << 20;
const QUICK_FLOWS = 1 << 16;
/** Ceiling of the second case: a tenth of what a machine sees at such a rate. */
const NEW_FLOWS_PER_SECOND = 100_000;
/** What the process may grow by: the JavaScript heap breathes, the arena is touched from the start. */
const MOST_GROWTH_MIB = 48;
/** Part of the flood after which memory is measured first: everything is compiled then. */
const WARM = 0.1;

export interface FloodCase {
  name: string;
  /** conntrack.newFlowsPerSecond; 0 for none. */
  newFlowsPerSecond: number;
  established: { flows: number; packets: number; lost: number; moved: number };
  flood: { flows: number; entered: number; evicted: number };
  /** Entries of the connection table in the end, and room. */
  entries: number;
  capacity: number;
  /** Of all packets, by the worker's own time. */
  nsPerPacket: number;
  /** Of the process, after a tenth of the flood and in the end. */
  rssMiB: { before: number; after: number };
  arenaMiB: number;
}

export interface FloodResult {
  cases: FloodCase[];
}

const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20);

/** @throws GuidewayError BENCH when the flood did harm */
export function benchFlood({ quick, say }: SuiteOptions): FloodResult {
  const cases = [0, NEW_FLOWS_PER_SECOND].map((limit) => {
    const name = limit === 0 ? "SYN flood" : `SYN flood, ${limit.toLocaleString("en-US")} new flows/s`;
    say(name);
    return flood(name, limit, quick);
  });
  return { cases };
}

function flood(name: string, newFlowsPerSecond: number, quick: boolean): FloodCase {
  const flows = quick ? QUICK_FLOWS : FLOWS;
  const size = quick ? QUICK_FLOOD : FLOOD;
  const bed = new FloodBed(
    ESTABLISHED,
    { name: "flood", family: "ipv4", mode: "l2", opens: true, flows, vips: "one" },
    newFlowsPerSecond,
  );
  const opened = bed.engine.statistics.reasons().new ?? 0;
  let before = 0;
  const [busyBefore, sentBefore] = [bed.busyNs, bed.loss().sent];
  while (bed.flooded < size) {
    bed.round(size - bed.flooded);
    if (before === 0 && bed.flooded >= WARM * size) before = process.memoryUsage.rss();
  }
  const after = process.memoryUsage.rss();
  const { statistics, arena } = bed.engine;
  const reasons = statistics.reasons();
  const { entries, evicted } = statistics.workers()[0]!;
  const { sent, lost, moved } = bed.loss();
  const result: FloodCase = {
    name,
    newFlowsPerSecond,
    established: { flows: ESTABLISHED, packets: sent, lost, moved },
    flood: { flows: bed.flooded, entered: (reasons.new ?? 0) - opened, evicted },
    entries,
    capacity: L.SHARDS * arena.plan.shardLines * L.WAYS,
    nsPerPacket: rounded((bed.busyNs - busyBefore) / (bed.flooded + sent - sentBefore)),
    rssMiB: { before: mebibytes(before), after: mebibytes(after) },
    arenaMiB: mebibytes(arena.plan.bytes),
  };
  check(result, reasons);
  return result;
}

/** @throws GuidewayError BENCH */
function check(result: FloodCase, reasons: Record<string, number>): void {
  const { name, established, flood, entries, capacity, newFlowsPerSecond, rssMiB } = result;
  const { lost, moved, packets, flows } = established;
  const fail = (what: string) => {
    throw new GuidewayError("BENCH", `${name}: ${what}; ${JSON.stringify({ ...result, reasons })}`);
  };
  if (lost !== 0 || moved !== 0) fail(`${lost} packets of established flows lost, ${moved} flows moved`);
  if ((reasons.hit ?? 0) !== packets - flows) fail("not every packet of an established flow was a hit");
  if (entries > capacity) fail("more entries than there is room for");
  if (newFlowsPerSecond === 0 && flood.entered !== flood.flows) fail("the flood was not entered");
  if (newFlowsPerSecond > 0 && (reasons.table ?? 0) === 0) fail("the ceiling was never reached");
  if (rssMiB.after - rssMiB.before > MOST_GROWTH_MIB) fail("the process grew");
}
