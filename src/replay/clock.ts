// The engine's clock from a capture's timestamps (docs/datapath.md §6).

/** Turns timestamps into milliseconds since the first packet, which never decrease. */
export class CaptureClock {
  /** Fractions per millisecond. */
  readonly #unit: number;
  #first: { seconds: number; fraction: number } | undefined;
  #nowMs = 0;
  /** Packets whose timestamp was before an earlier packet's: they count as simultaneous with it. */
  backwards = 0;

  constructor(nanoseconds: boolean) {
    this.#unit = nanoseconds ? 1e6 : 1e3;
  }

  /** Milliseconds of the next packet's timestamp. */
  next({ seconds, fraction }: { seconds: number; fraction: number }): number {
    this.#first ??= { seconds, fraction };
    const ms = (seconds - this.#first.seconds) * 1000 + (fraction - this.#first.fraction) / this.#unit;
    if (ms < this.#nowMs) this.backwards++;
    else this.#nowMs = ms;
    return this.#nowMs;
  }
}
