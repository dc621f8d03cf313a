// What happens to the kernel's links, addresses, routes and neighbours, told by one `ip monitor`.
//
//   state      entered by                           in it
//   new        constructor                          nothing is told
//   listening  start(); some time after an end      changes are told as they come
//   waiting    the monitor's end                    it is started again after 0.1 s, 0.2 s … 5 s
//   stopped    stop()                               nothing is told
//
// What happens while nobody listens is not lost: once the monitor listens again, everyone is told that something may have
// changed, and reads everything anew. So it is when the monitor says that the kernel had to leave something out.

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Logger } from "../log.ts";

/** The program needs some milliseconds until it listens. */
const LISTENING_MS = 250;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5000;
/** It has not failed at once when it has lived so long: the next end is a first one again. */
const STEADY_MS = 10_000;

const LABELS = { "[LINK]": "link", "[ROUTE]": "route", "[NEIGH]": "neigh", "[ADDR]": "address" } as const;
/** What may change; `neigh` are neighbours. */
export type KernelObject = (typeof LABELS)[keyof typeof LABELS];

export class KernelMonitor {
  readonly #log: Logger;
  readonly #listeners = new Map<KernelObject, Set<() => void>>();
  #monitor: ChildProcess | undefined;
  #timers: NodeJS.Timeout[] = [];
  #retryMs = FIRST_RETRY_MS;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Calls back whenever some object of this kind changes, or may have changed unseen. @returns a function that ends it */
  on(what: KernelObject, changed: () => void): () => void {
    const listeners = this.#listeners.get(what) ?? new Set();
    this.#listeners.set(what, listeners.add(changed));
    return () => void listeners.delete(changed);
  }

  /** Begins to listen. Who outlives a kill -9 of this process meets the end of its pipe at the next change of any kind. */
  start(): void {
    const monitor = spawn("ip", ["monitor", "label", "link", "route", "neigh", "address"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#monitor = monitor;
    createInterface({ input: monitor.stdout }).on("line", (line) => {
      const label = line.slice(0, line.indexOf("]") + 1) as keyof typeof LABELS;
      if (label in LABELS) this.#tell(LABELS[label]);
    });
    // "netlink receive error No buffer space available": events are lost, and it goes on.
    let said = "";
    monitor.stderr.on("data", (text: Buffer) => {
      said = (said + text).slice(-1000);
      this.#tellAll();
    });
    monitor.on("error", ({ message }) => {
      said = message;
    });
    monitor.on("close", (code, signal) => {
      if (this.#monitor === monitor) this.#ended(said.trim() || (signal ?? `exit code ${code}`));
    });
    this.#after(LISTENING_MS, () => this.#tellAll());
    this.#after(STEADY_MS, () => {
      this.#retryMs = FIRST_RETRY_MS;
    });
  }

  #ended(reason: string): void {
    this.#clearTimers();
    this.#log.warn(
      { reason, retryMs: this.#retryMs },
      '"ip monitor" has ended; until it runs again, changes of links, routes and neighbours are seen late',
    );
    this.#after(this.#retryMs, () => this.start());
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
  }

  #tellAll(): void {
    for (const what of this.#listeners.keys()) this.#tell(what);
  }

  #tell(what: KernelObject): void {
    for (const changed of this.#listeners.get(what) ?? []) changed();
  }

  #after(ms: number, action: () => void): void {
    this.#timers.push(setTimeout(action, ms).unref());
  }

  #clearTimers(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
  }

  /** Ends the monitor; nobody is told anything any more. */
  stop(): void {
    const monitor = this.#monitor;
    this.#monitor = undefined;
    this.#clearTimers();
    this.#listeners.clear();
    monitor?.kill();
  }
}
