// Numbers of many rounds as a few.

export { median, quantile, rounded, spread } from "../src/quantiles.ts";
