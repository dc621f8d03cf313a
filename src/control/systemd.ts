// The process as a service of systemd: what sd_notify(3) says to it, and its watchdog.
//
//   state      entered by    message
//   starting   constructor   —
//   serving    ready()       READY=1, STATUS=…; STATUS=… when it changes; WATCHDOG=1 while it is well
//   reloading  reload()      RELOADING=1 with the time, then READY=1 when none is under way any more, however it ended
//   stopping   stopping()    STOPPING=1
//   closed     close()       —
//
// Without NOTIFY_SOCKET it says nothing. What cannot be said is logged once and never in the way of packets.

import type { Logger } from "../log.ts";
import { loadNative } from "../native.ts";

/** How often the status is looked at. */
const STATUS_MS = 1000;
/** WATCHDOG_USEC below this is taken for this: a timer cannot be much finer. */
const LEAST_WATCHDOG_MS = 10;
/** setInterval's. */
const MOST_MS = 0x7fff_ffff;

/** The variables of the protocol: for this process alone, not for those that it starts. */
const VARIABLES = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] as const;

export interface SystemdOptions {
  /** Whether the machine does what it is there for. While it is false the watchdog is not fed, and systemd restarts it. */
  alive: () => boolean;
  /** One line on what it does, without figures that change all the time. */
  status: () => string;
  log: Logger;
  /** Default: this process's; the variables of the protocol are taken out of it. */
  env?: NodeJS.ProcessEnv;
  /** Sends a message to the socket. Default: the addon's; without the addon nothing is sent. */
  send?: (socket: string, message: string) => void;
}

export class Systemd {
  readonly #options: SystemdOptions;
  readonly #send: SystemdOptions["send"];
  readonly #socket: string | undefined;
  /** Milliseconds between two signs of life; undefined when nobody waits for them. */
  readonly watchdogMs: number | undefined;
  #status: string | undefined;
  #silent = false;
  #wasAlive = true;
  /** Reloads under way or waiting. */
  #reloads = 0;
  #closed = false;
  #timers: NodeJS.Timeout[] = [];

  constructor(options: SystemdOptions) {
    const env = options.env ?? process.env;
    const { NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID } = env;
    for (const name of VARIABLES) delete env[name];
    this.#options = options;
    this.#socket = NOTIFY_SOCKET || undefined;
    this.#send = options.send ?? (this.#socket ? sender() : undefined);
    const ours = WATCHDOG_PID === undefined || WATCHDOG_PID === String(process.pid);
    if (this.#socket && ours) this.watchdogMs = intervalOf(WATCHDOG_USEC);
  }

  /** The machine serves: packets reach it. */
  ready(): void {
    if (!this.#socket) return;
    this.#notify("READY=1", this.#statusLine(true));
    if (this.#timers.length > 0) return;
    this.#timers.push(setInterval(() => this.#notify(this.#statusLine()), STATUS_MS));
    if (this.watchdogMs !== undefined) {
      this.#feed();
      this.#timers.push(setInterval(() => this.#feed(), this.watchdogMs));
    }
    // They keep nothing running that would otherwise end.
    for (const timer of this.#timers) timer.unref();
  }

  /** Does a reload, between RELOADING=1 and READY=1. @returns what `change` returns; its error is passed on */
  async reload<T>(change: () => Promise<T>): Promise<T> {
    // CLOCK_MONOTONIC, as hrtime is: systemd tells a message before its request from one after it.
    this.#reloads++;
    this.#notify("RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
    try {
      return await change();
    } finally {
      if (--this.#reloads === 0) this.#notify("READY=1", this.#statusLine(true));
    }
  }

  /** The machine begins to stop. */
  stopping(): void {
    this.#notify("STOPPING=1", "STATUS=stopping");
    this.close();
  }

  /** Nothing is said from here on. May be called again. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
  }

  #feed(): void {
    const alive = this.#options.alive();
    if (alive !== this.#wasAlive) {
      this.#options.log[alive ? "info" : "error"](
        alive ? "well again: watchdog fed" : "not well: watchdog not fed",
      );
    }
    this.#wasAlive = alive;
    if (alive) this.#notify("WATCHDOG=1");
  }

  /** The status, if it is another than before. */
  #statusLine(always = false): string {
    const status = this.#options.status().replaceAll("\n", " ");
    if (status === this.#status && !always) return "";
    this.#status = status;
    return `STATUS=${status}`;
  }

  #notify(...lines: string[]): void {
    const message = lines.filter(Boolean).join("\n");
    if (!this.#socket || !this.#send || this.#closed || message === "") return;
    try {
      this.#send(this.#socket, message);
      this.#silent = false;
    } catch (error) {
      if (!this.#silent) {
        this.#options.log.warn(
          { reason: (error as Error).message, message },
          "the service manager cannot be told; this is said once",
        );
      }
      this.#silent = true;
    }
  }
}

function sender(): SystemdOptions["send"] {
  try {
    return loadNative().notify;
  } catch {
    return undefined;
  }
}

/** Half of the watchdog's time, as sd_watchdog_enabled(3) advises. */
function intervalOf(usec: string | undefined): number | undefined {
  if (usec === undefined || !/^\d+$/.test(usec) || Number(usec) === 0) return undefined;
  return Math.min(MOST_MS, Math.max(LEAST_WATCHDOG_MS, Math.floor(Number(usec) / 2000)));
}
