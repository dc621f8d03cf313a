// What two sides measured by turns: each pair gives a ratio, and the ratios' median is the result.

import { columns } from "../../src/columns.ts";
import { median, quantile, rounded } from "../../src/quantiles.ts";
import type { Row } from "../rows.ts";

export interface Pairs extends Pick<Row, "name" | "unit" | "better"> {
  pairs: readonly (readonly [here: number, there: number])[];
}

export interface PairedRow extends Pick<Row, "name" | "unit" | "better"> {
  here: number;
  there: number;
  /** Here by there: the median of the pairs, and its quartiles. */
  ratio: number;
  quartiles: [number, number];
  pairs: number;
}

export function pairedRows(rows: readonly Pairs[]): PairedRow[] {
  return rows.map(({ name, unit, better, pairs }) => {
    const ratios = pairs.map(([here, there]) => here / there);
    return {
      name,
      unit,
      better,
      here: rounded(median(pairs.map(([here]) => here))),
      there: rounded(median(pairs.map(([, there]) => there))),
      ratio: rounded(median(ratios)),
      quartiles: [rounded(quantile(ratios, 0.25)), rounded(quantile(ratios, 0.75))],
      pairs: pairs.length,
    };
  });
}

export function renderPairs(rows: readonly PairedRow[], there: string): string {
  const lines = rows.map(({ name, unit, better, here, there, ratio, quartiles, pairs }) => [
    name,
    unit,
    String(here),
    String(there),
    ratio.toFixed(3),
    quartiles.map((each) => each.toFixed(3)).join("–"),
    String(pairs),
    better,
  ]);
  const head = ["", "", "here", there, "here / there", "quartiles", "pairs", "better is"];
  return columns([head, ...lines], [2, 3, 4, 5, 6]);
}
