// A forwarder under test in memory: workers of this thread that answer when they are woken, unless they are told to stand
// still, and rounds whose time the test says.

import { pino } from "pino";
import {
  ForwarderHealth,
  type ForwarderOptions,
  type ForwarderStatus,
} from "../../../src/control/forwarder/forwarder-health.ts";
import type { Rig } from "../../engine/rig.ts";

export const INTERVAL_MS = 250;

export class Bed {
  readonly rig: Rig;
  readonly health: ForwarderHealth;
  /** Workers that do not run. */
  readonly still = new Set<number>();
  /** Done instead of letting a woken worker run. */
  instead: ((worker: number) => void) | undefined;
  /** Whether it was healthy, at each change. */
  readonly changes: boolean[] = [];
  nowMs = 1000;

  constructor(rig: Rig, options: Partial<ForwarderOptions> = {}) {
    this.rig = rig;
    this.health = new ForwarderHealth({
      engine: rig.engine,
      queue: rig.selfTest!,
      wake: (worker) => this.#work(worker),
      settings: { interval: INTERVAL_MS, timeout: INTERVAL_MS, rise: 2, fall: 2 },
      log: pino({ level: "silent" }),
      ...options,
    });
    this.health.onChange(({ healthy }) => this.changes.push(healthy));
  }

  #work(worker: number): void {
    if (this.still.has(worker)) return;
    if (this.instead) this.instead(worker);
    else this.rig.run(worker);
  }

  /** So many rounds, with the loops of all workers that go on in between. */
  rounds(count: number): ForwarderStatus {
    for (let i = 0; i < count; i++) {
      this.nowMs += INTERVAL_MS;
      this.health.round(this.nowMs);
      for (let worker = 0; worker < this.rig.workers; worker++) {
        if (!this.still.has(worker)) this.rig.run(worker);
      }
    }
    return this.health.status();
  }

  /** Rounds until it is healthy or not, at most so many. @returns how many it took */
  until(healthy: boolean, most: number): number {
    for (let count = 1; count <= most; count++) if (this.rounds(1).healthy === healthy) return count;
    throw new Error(
      `not ${healthy ? "" : "un"}healthy after ${most} rounds: ${this.health.status().reasons}`,
    );
  }
}
