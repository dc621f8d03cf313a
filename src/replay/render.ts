// The result of a replay as text for people.

import { columns, counted, percent } from "../columns.ts";
import type { ReplayReport } from "./replay.ts";
import type { ReplaySummary } from "./tally.ts";

/** The text that `replay` prints, without a final newline. */
export function renderSummary(summary: ReplaySummary): string {
  const { packets, forwarded, replied, passed, dropped, reasons, vips, backends } = summary;
  const part = ([name, count]: [string, number], whole: number) => [
    name,
    String(count),
    percent(count, whole),
  ];
  const verdicts = { forwarded, replied, passed, dropped };
  const sections = [
    ["PACKETS", ...part(["", packets], packets).slice(1)],
    ...Object.entries(verdicts).map((each) => part(each, packets)),
    [],
    ["REASONS"],
    ...Object.entries(reasons).map((each) => part(each, packets)),
  ];
  for (const [name, reasons] of Object.entries(vips)) {
    const whole = Object.values(reasons).reduce((sum, count) => sum + count, 0);
    sections.push([], [`VIP ${name}`], ...Object.entries(reasons).map((each) => part(each, whole)));
  }
  if (forwarded > 0) {
    sections.push([], ["BACKENDS"], ...Object.entries(backends).map((each) => part(each, forwarded)));
  }
  return columns(sections, [1, 2]);
}

/** What is worth a warning about the capture. */
export function renderWarnings(file: string, { truncated, backwards }: ReplayReport): string[] {
  const warnings: string[] = [];
  if (truncated > 0) {
    warnings.push(
      `${counted(truncated, "packet")} of ${file} ${were(truncated)} captured in part and processed as captured: ` +
        "capture with a larger snaplen (`tcpdump -s 0`) for the whole",
    );
  }
  if (backwards > 0) {
    warnings.push(
      `the time of ${counted(backwards, "packet")} of ${file} ran backwards: they count as simultaneous with the ` +
        "packet before",
    );
  }
  return warnings;
}

function were(count: number): string {
  return count === 1 ? "was" : "were";
}
