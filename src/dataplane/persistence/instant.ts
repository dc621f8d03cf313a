// Moments that two processes can compare.

import { readFileSync } from "node:fs";

export interface Instant {
  /** Tells one boot of the machine from another: the monotonic clock begins anew with each. */
  boot: string;
  /** CLOCK_MONOTONIC: nobody sets it. */
  monotonicMs: number;
  /** Milliseconds since 1970. */
  wallMs: number;
}

export function instant(): Instant {
  return { boot: bootId(), monotonicMs: Number(process.hrtime.bigint() / 1_000_000n), wallMs: Date.now() };
}

/** Where the kernel does not say, clocks on the wall are compared. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}

/** Milliseconds from one moment to another; by the clocks on the wall, which may have been set, where the machine was booted between. */
export function between(from: Instant, to: Instant): number {
  const sameBoot = from.boot !== "" && from.boot === to.boot;
  return sameBoot ? to.monotonicMs - from.monotonicMs : to.wallMs - from.wallMs;
}

export function before(to: Instant, ms: number): Instant {
  return { boot: to.boot, monotonicMs: to.monotonicMs - ms, wallMs: to.wallMs - ms };
}
