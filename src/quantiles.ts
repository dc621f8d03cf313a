// Numbers of many rounds as a few.

/** The value that a share of the others is not above. @param share 0…1 */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** How far the values lie apart: (p90 − p10) / median. */
export function spread(values: readonly number[]): number {
  return (quantile(values, 0.9) - quantile(values, 0.1)) / median(values);
}

/** To a number of significant digits. */
export function rounded(value: number, digits = 4): number {
  return Number(value.toPrecision(digits));
}

/** Of the normal distribution: 95% lie so many standard deviations around the mean. */
const Z_95 = 1.96;

/**
 * The 95% confidence interval of a median, by order statistics, so that nothing is assumed of the values but that they are
 * independent (Conover, Practical Nonparametric Statistics, §3.2). Fewer than six values have none: it is all of their range then.
 */
export function medianInterval(values: readonly number[]): [low: number, high: number] {
  const sorted = values.toSorted((a, b) => a - b);
  const half = (Z_95 * Math.sqrt(sorted.length)) / 2;
  const low = Math.max(1, Math.round(sorted.length / 2 - half));
  return [sorted[low - 1] ?? Number.NaN, sorted[sorted.length - low] ?? Number.NaN];
}
