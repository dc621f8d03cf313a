// `guideway tune`: how many workers, how large a batch, pinned or not, for one configuration on this machine. In memory: no
// interface is touched. Every setting has a turn, and that over and over, in another order each time.

import { MAX_LIMIT } from "../config/guard.ts";
import type { Config } from "../config/schema.ts";
import { GuidewayError } from "../errors.ts";
import { Rig, type Turn } from "../measure/rig.ts";
import { findKnee, type Knee, type Sample } from "./knee.ts";
import { type Choice, choicesOf, choiceText, type Grid, settingOf } from "./settings.ts";
import type { Source } from "./traffic.ts";

export interface TuneOptions {
  grid: Grid;
  source: Source;
  /** Processors to pin to, in order. */
  cpus: readonly number[];
  /** Turns of each setting, and rounds of a turn: 2,048 packets for each worker. */
  turns: number;
  rounds: number;
  /** Share of the best throughput that may be given up for a smaller setting. */
  tolerance: number;
  say: (progress: string) => void;
}

export interface TuneResult extends Knee {
  traffic: string;
  turns: number;
  tolerance: number;
  /** CPUs for the knee; absent when it is not pinned. */
  cpus?: number[];
}

/** Part of a turn that does not count: the caches fill again. */
const WARM = 0.4;
/** Turns of each before any counts: V8 compiles. */
const WARM_TURNS = 2;
/** Packets that may be dropped, of all: more is no measurement of forwarding. */
const MOST_LOST = 0.01;

/** @throws GuidewayError TUNE when packets do not leave: what is wrong with them is not a question of workers */
export async function tune(config: Config, options: TuneOptions): Promise<TuneResult> {
  const { grid, source, cpus, turns, rounds, tolerance, say } = options;
  const choices = choicesOf(grid);
  const rig = new Rig(unlimited(config), Math.max(...grid.workers), source.sharing);
  try {
    say(`entering flows: ${source.text}`);
    await rig.enter();
    const samples = choices.map((choice) => ({ ...choice, mpps: [] as number[] }));
    const turn = (choice: Choice) =>
      rig.turn(settingOf(choice, cpus), { rounds, warmRounds: Math.ceil(WARM * rounds) });
    say("warming up");
    for (let i = 0; i < WARM_TURNS; i++)
      for (const choice of choices) checkLoss(rig, choice, await turn(choice));
    for (let i = 0; i < turns; i++) {
      say(`measuring, ${i + 1} of ${turns}`);
      // Forth and back: nobody always comes after the same one, or while others are still warm.
      for (const sample of i % 2 === 0 ? samples : samples.toReversed())
        sample.mpps.push((await turn(sample)).mpps);
    }
    const knee = findKnee(samples satisfies Sample[], tolerance);
    const pinned = knee.knee.pinned && { cpus: cpus.slice(0, knee.knee.workers) };
    return { traffic: source.text, turns, tolerance, ...knee, ...pinned };
  } finally {
    await rig.close();
  }
}

function checkLoss({ engine }: Rig, choice: Choice, { packets, sent }: Turn): void {
  if (packets > 0 && sent >= (1 - MOST_LOST) * packets) return;
  const reasons = Object.entries(engine.statistics.reasons()).sort(([, a], [, b]) => b - a);
  const counts = reasons.map(([reason, count]) => `${reason} ${count.toLocaleString("en-US")}`).join(", ");
  throw new GuidewayError(
    "TUNE",
    `${choiceText(choice)}: of ${packets} packets ${sent} were forwarded, expected nearly all; since the start by reason: ` +
      `${counts}. What the VIPs refuse, generated packets may be (they come from 198.18.0.0/15 and 2001:2::/48): give --pcap`,
  );
}

/** Sources may send as much as can be counted: a limit is a question of who sends, not of how many workers there are. */
function unlimited(config: Config): Config {
  const vips = config.vips.map((vip) => {
    const limits = vip.guard?.packetsPerSecond;
    if (!limits || limits.limit === 0) return vip;
    return { ...vip, guard: { ...vip.guard!, packetsPerSecond: { ...limits, limit: MAX_LIMIT } } };
  });
  return { ...config, vips };
}
