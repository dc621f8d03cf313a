// The suites by name, and what each is told.

export const SUITES = [
  "engine",
  "nic",
  "hash",
  "table",
  "conntrack",
  "rings",
  "scale",
  "swap",
  "latency",
  "health",
  "flood",
] as const;
export type SuiteName = (typeof SUITES)[number];

/** Tells the user, on stderr, what it does. */
export type Say = (progress: string) => void;

export interface SuiteOptions {
  /** Seconds instead of minutes: to see that it works, not to quote. */
  quick: boolean;
  /** Most workers, for suites with threads; by default what the machine has processors for. */
  workers?: number;
  say: Say;
}
