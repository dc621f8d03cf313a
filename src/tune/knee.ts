// Which setting to take: not the fastest, which among many is the luckiest, but the smallest that is as fast as it.
//
// All settings had their turns one after the other, over and over. A setting is compared with the fastest (by median) turn by
// turn: what slowed the machine down for a while slowed both. It will do when the median of these ratios is within the tolerance,
// or when it cannot be told from the fastest: the median's 95% confidence interval reaches 1. The smallest that will do is taken.

import { median, medianInterval } from "../quantiles.ts";
import type { Choice } from "./settings.ts";

/** A setting with the throughput of its turns, million packets a second. */
export interface Sample extends Choice {
  mpps: readonly number[];
}

/** A sample in numbers. */
export interface Measured extends Choice {
  mpps: number;
  /** 95% confidence interval of the median. */
  low: number;
  high: number;
  /** Throughput by that of the fastest setting, turn by turn: its median, and 95% confidence interval. */
  ratio: number;
  ratioLow: number;
  ratioHigh: number;
}

export interface Knee {
  rows: Measured[];
  best: Measured;
  knee: Measured;
  /** Whether the knee will do only because it cannot be told from the fastest. */
  byNoise: boolean;
  /** Half of the widest confidence interval of a ratio, of those that may be close: what this measurement cannot tell apart. */
  noise: number;
}

/** However noisy it is, a setting that seems to lose more than this will not do. */
const MOST_NOISE = 0.1;

/**
 * @param samples from the smallest setting, all with as many turns
 * @param tolerance share of the best throughput that may be given up
 */
export function findKnee(samples: readonly Sample[], tolerance: number): Knee {
  const best = samples.reduce((most, each) => (median(each.mpps) > median(most.mpps) ? each : most));
  const rows = samples.map((sample) => measuredOf(sample, best));
  const halfWidth = ({ ratioLow, ratioHigh }: Measured) => (ratioHigh - ratioLow) / 2;
  const isClose = ({ ratio }: Measured) => ratio >= 1 - tolerance;
  const isAlike = ({ ratio, ratioHigh }: Measured) => ratioHigh >= 1 && ratio >= 1 - MOST_NOISE;
  const knee = rows.find((each) => isClose(each) || isAlike(each))!;
  return {
    rows,
    best: rows[samples.indexOf(best)]!,
    knee,
    byNoise: !isClose(knee),
    noise: Math.max(...rows.filter(({ ratioHigh }) => ratioHigh >= 1 - tolerance).map(halfWidth)),
  };
}

function measuredOf({ mpps, ...choice }: Sample, best: Sample): Measured {
  const ratios = mpps.map((value, turn) => value / best.mpps[turn]!);
  const [low, high] = medianInterval(mpps);
  const [ratioLow, ratioHigh] = medianInterval(ratios);
  return { ...choice, mpps: median(mpps), low, high, ratio: median(ratios), ratioLow, ratioHigh };
}
