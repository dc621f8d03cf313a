// Names of what the engine decides; the codes are REASON_* of assembly/reasons.ts and TRACK_* of assembly/layout.ts, cause and cure are in
// docs/verdicts.md.

import * as L from "../../assembly/layout.ts";
import * as R from "../../assembly/reasons.ts";

export type Verdict = "forward" | "reply" | "pass" | "drop";

/** "REASON_BAD_HEADER" → "bad-header", for every constant with the prefix. */
function namesOf(constants: Record<string, number>, prefix: string): Map<number, string> {
  const names = new Map<number, string>();
  for (const [name, code] of Object.entries(constants)) {
    if (name.startsWith(prefix))
      names.set(code, name.slice(prefix.length).toLowerCase().replaceAll("_", "-"));
  }
  return names;
}

const reasonNames = namesOf(R, "REASON_");
const trackNames = namesOf(L, "TRACK_");

/** All reasons that a packet can end with, by code. */
export const reasons: ReadonlyMap<number, string> = new Map(
  [...reasonNames]
    .filter(([code]) => code !== R.REASON_NONE && code !== R.REASON_HANDED)
    .sort(([a], [b]) => a - b),
);

/** Reasons that are not counted by VIP: hits, which VIPs count otherwise, and those of packets that belong to none. */
const NOT_OF_VIPS: readonly number[] = [
  R.REASON_HIT,
  R.REASON_PROBE,
  R.REASON_NOT_IP,
  R.REASON_NOT_VIP,
  R.REASON_TRAPPED,
  R.REASON_OVERSIZED,
];

/** The others, by code. */
export const vipReasons: ReadonlyMap<number, string> = new Map(
  [...reasons].filter(([code]) => !NOT_OF_VIPS.includes(code)),
);

export function reasonName(code: number): string {
  return reasonNames.get(code) ?? `reason-${code}`;
}

/** Code of a reason's name; throws for a name that is none. */
export function reasonCode(name: string): number {
  for (const [code, each] of reasonNames) if (each === name) return code;
  throw new RangeError(`there is no reason ${JSON.stringify(name)}`);
}

export function trackName(code: number): string {
  return trackNames.get(code) ?? `track-${code}`;
}

export function verdictOf(reason: number): Verdict {
  if (reason < R.REASON_ECHO) return "forward";
  if (reason < R.REASON_NOT_IP) return "reply";
  return reason < R.REASON_DROP ? "pass" : "drop";
}
