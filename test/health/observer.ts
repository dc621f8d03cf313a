// A monitor whose changes can be awaited.
import { EventEmitter, once } from "node:events";
import type { TestContext } from "node:test";
import { type HealthChange, HealthMonitor, type HealthMonitorOptions } from "../../src/health/monitor.ts";
import { createLogger } from "../../src/log.ts";

/** A log that is kept: `warn: message`. */
export function keptLog() {
  const lines: string[] = [];
  const log = createLogger({ level: "silent" });
  const keep =
    (level: string) =>
    (...args: unknown[]) =>
      void lines.push(`${level}: ${args.at(-1)}`);
  return { lines, log: Object.assign(log, { warn: keep("warn"), error: keep("error") }) };
}

export class Observer {
  readonly monitor: HealthMonitor;
  readonly log: string[];
  /** Everything that onChange was told, in order; how often it was called. */
  readonly changes: HealthChange[] = [];
  calls = 0;
  readonly #events = new EventEmitter();

  constructor(test: Pick<TestContext, "after">, options: Partial<HealthMonitorOptions> = {}) {
    const { lines, log } = keptLog();
    this.log = lines;
    this.monitor = new HealthMonitor({
      log,
      onChange: (changes) => {
        this.calls++;
        this.changes.push(...changes);
        this.#events.emit("change");
      },
      ...options,
    });
    test.after(() => this.monitor.stop());
  }

  /** Waits for changes until there are so many, and takes them away. */
  async take(count: number): Promise<HealthChange[]> {
    while (this.changes.length < count) await once(this.#events, "change");
    return this.changes.splice(0, count);
  }

  /** `backend+` or `backend-` of so many changes, sorted. */
  async taken(count: number): Promise<string[]> {
    return (await this.take(count)).map(({ backend, healthy }) => `${backend}${healthy ? "+" : "-"}`).sort();
  }

  /** Waits until something holds, looking every few milliseconds: for counters, which no event announces. */
  async until(holds: (monitor: HealthMonitor) => boolean): Promise<void> {
    while (!holds(this.monitor)) await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
