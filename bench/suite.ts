// What a suite is told.

/** Tells the user, on stderr, what it does. */
export type Say = (progress: string) => void;

export interface SuiteOptions {
  /** Seconds instead of minutes: to see that it works, not to quote. */
  quick: boolean;
  say: Say;
}
