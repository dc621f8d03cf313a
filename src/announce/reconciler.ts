// Makes what is announced what is wanted, one change of a prefix at a time, forever.
//
//   state of a prefix   reached by                                  what follows
//   unknown             it was never looked at; the speaker was     announce or withdraw
//                       lost; a change of it failed
//   announced           the speaker accepted it, or has it already  withdraw, if it is no longer wanted
//   withdrawn           the speaker accepted that, or has not it    announce, if it is wanted
//
// A change that is under way is never interrupted: when it ends, the state is compared with what is wanted by then,
// so any number of `want`s in the meantime cost one change. A failed one waits, twice as long each time.
import type { Logger } from "../log.ts";
import type { Announcement, Announcer, AnnouncerStatus } from "./announcer.ts";
import type { PrefixState, Speaker } from "./speaker.ts";

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 1000;
/** How long `stop` waits for the speaker. */
const STOP_MS = 5000;

interface Entry {
  readonly announcement: Announcement;
  state: PrefixState;
  /** When it came to be announced. */
  since: Date | undefined;
  /** A change is under way. */
  busy: boolean;
  /** Something was heard of the speaker while it was: its end says nothing about the state. */
  stale: boolean;
  /** Failures in a row. */
  failures: number;
  /** No change before this time, of performance.now(). */
  notBeforeMs: number;
  /** The generation of `want` in which it last failed. */
  failedIn: number;
  error: string | undefined;
}

export interface ReconcilerOptions {
  /** What may be left of an earlier process, and is withdrawn unless it is wanted. */
  owned: readonly Announcement[];
  log: Logger;
  /** Told what may be announced from now on, before it is, and what no longer can be. */
  onExposed?: (prefixes: readonly string[]) => void;
}

export class Reconciler implements Announcer {
  readonly #speaker: Speaker;
  readonly #log: Logger;
  readonly #onExposed: (prefixes: readonly string[]) => void;
  readonly #entries = new Map<string, Entry>();
  readonly #changes = { announced: 0, withdrawn: 0, failed: 0 };
  #wanted = new Set<string>();
  /** Counts calls of `want`; before the first nothing is touched. */
  #generation = 0;
  #connected = false;
  #connectError: string | undefined;
  /** The generation in which the speaker was last found not to be there. */
  #unreachableIn = -1;
  #running = 0;
  #timer: NodeJS.Timeout | undefined;
  #due: NodeJS.Immediate | undefined;
  #exposed = "";
  #waiting: (() => void)[] = [];
  #stopped: Promise<void> | undefined;
  #closed = false;

  constructor(speaker: Speaker, { owned, log, onExposed = () => {} }: ReconcilerOptions) {
    this.#speaker = speaker;
    this.#log = log;
    this.#onExposed = onExposed;
    for (const announcement of owned) this.#entry(announcement);
    speaker.start(
      {
        connected: (found) => this.#onConnected(found),
        disconnected: (error) => this.#onDisconnected(error),
      },
      () => [...this.#entries.values()].map(({ announcement }) => announcement),
    );
  }

  want(prefixes: readonly Announcement[]): void {
    if (this.#stopped !== undefined) return;
    this.#want(prefixes);
  }

  settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#tellWaiting();
    });
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  status(): AnnouncerStatus {
    const entries = [...this.#entries.values()];
    const announced = entries.filter(({ since }) => since !== undefined);
    const failed = entries.find((entry) => entry.error !== undefined && !this.#isRight(entry));
    return {
      kind: this.#speaker.kind,
      connected: this.#connected,
      error: this.#connected ? failed?.error : this.#connectError,
      announced: announced.map(({ announcement: { prefix }, since }) => ({
        prefix,
        since: since!.toISOString(),
      })),
      wanted: [...this.#wanted],
      peers: this.#connected ? this.#speaker.peers() : [],
      changes: { ...this.#changes },
    };
  }

  #want(prefixes: readonly Announcement[]): void {
    this.#generation++;
    this.#wanted = new Set(prefixes.map((each) => this.#entry(each).announcement.prefix));
    // What failed for another wish is tried for this one at once.
    for (const entry of this.#entries.values()) entry.notBeforeMs = 0;
    this.#expose();
    this.#reconcile();
  }

  async #stop(): Promise<void> {
    this.#want([]);
    const deadline = performance.now() + STOP_MS;
    let late: NodeJS.Timeout | undefined;
    const limit = new Promise<void>((resolve) => {
      late = setTimeout(resolve, STOP_MS);
    });
    const pending = () => [...this.#entries.values()].filter((entry) => !this.#isRight(entry));
    // A speaker that is not there has nothing announced either; one that refuses is asked until the time is up.
    for (;;) {
      await Promise.race([this.settled(), limit]);
      if (pending().length === 0 || !this.#connected || performance.now() >= deadline) break;
      this.#generation++;
    }
    clearTimeout(late);
    const left = pending().map(({ announcement }) => announcement.prefix);
    if (left.length > 0)
      this.#log.warn(
        { prefixes: left, reason: this.status().error },
        "not withdrawn: the routers may still send packets here",
      );
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#speaker.close();
    if (left.length === 0) this.#onExposed([]);
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #entry(announcement: Announcement): Entry {
    const known = this.#entries.get(announcement.prefix);
    if (known) return known;
    const entry: Entry = {
      announcement,
      state: "unknown",
      since: undefined,
      busy: false,
      stale: false,
      failures: 0,
      notBeforeMs: 0,
      failedIn: -1,
      error: undefined,
    };
    this.#entries.set(announcement.prefix, entry);
    return entry;
  }

  #isRight({ state, busy, announcement: { prefix } }: Entry): boolean {
    return !busy && state === (this.#wanted.has(prefix) ? "announced" : "withdrawn");
  }

  #onConnected(found: ReadonlyMap<string, PrefixState>): void {
    if (this.#closed) return;
    if (!this.#connected) {
      const announced = [...found.values()].filter((state) => state === "announced").length;
      this.#log.info({ speaker: this.#speaker.kind, announced }, "announcer connected");
    }
    this.#connected = true;
    this.#connectError = undefined;
    for (const [prefix, state] of found) this.#found(prefix, state);
    this.#reconcile();
  }

  #onDisconnected(error: Error): void {
    if (this.#closed) return;
    // Once: the speaker goes on trying, and each attempt fails with the same words.
    if (this.#connected || this.#connectError === undefined)
      this.#log.warn(
        { speaker: this.#speaker.kind, reason: error.message },
        "announcer not connected, trying again",
      );
    this.#connected = false;
    this.#connectError = error.message;
    this.#unreachableIn = this.#generation;
    for (const entry of this.#entries.values()) {
      entry.stale = entry.busy;
      this.#set(entry, "unknown");
    }
    this.#tellWaiting();
  }

  /** The speaker says how it is with a prefix. What is just being changed is left to the change. */
  #found(prefix: string, state: PrefixState): void {
    const entry = this.#entries.get(prefix);
    if (entry === undefined || entry.busy || entry.state === state) return;
    if (entry.state !== "unknown")
      this.#log.warn({ prefix, was: entry.state, found: state }, "somebody else changed an announcement");
    this.#set(entry, state);
  }

  #set(entry: Entry, state: Entry["state"]): void {
    entry.state = state;
    if (state === "announced") entry.since ??= new Date();
    else entry.since = undefined;
  }

  /** Starts every change that is due, as many at once as the speaker takes. */
  #reconcile(): void {
    if (this.#closed || this.#generation === 0) return;
    clearTimeout(this.#timer);
    if (this.#connected) {
      const now = performance.now();
      let next = Number.POSITIVE_INFINITY;
      for (const entry of this.#entries.values()) {
        if (entry.busy || this.#isRight(entry)) continue;
        if (entry.notBeforeMs > now) next = Math.min(next, entry.notBeforeMs);
        else if (this.#running < this.#speaker.parallel) void this.#change(entry);
      }
      if (next < Number.POSITIVE_INFINITY) this.#timer = setTimeout(() => this.#reconcile(), next - now);
    }
    this.#expose();
    this.#tellWaiting();
  }

  /** Never rejects. */
  async #change(entry: Entry): Promise<void> {
    const { prefix } = entry.announcement;
    const action = this.#wanted.has(prefix) ? "announce" : "withdraw";
    const generation = this.#generation;
    entry.busy = true;
    entry.stale = false;
    this.#running++;
    try {
      await this.#speaker.change(action, entry.announcement);
      this.#changes[action === "announce" ? "announced" : "withdrawn"]++;
      if (!entry.stale) this.#set(entry, action === "announce" ? "announced" : "withdrawn");
      entry.failures = 0;
      entry.error = undefined;
      this.#log.info({ prefix }, action === "announce" ? "announced" : "withdrawn");
    } catch (error) {
      this.#changes.failed++;
      const reason = (error as Error).message;
      if (entry.error !== reason) this.#log.warn({ prefix, reason }, `cannot ${action}, trying again`);
      // Whatever it did before it failed: it is neither surely there nor surely not.
      this.#set(entry, "unknown");
      entry.error = reason;
      entry.failedIn = generation;
      entry.notBeforeMs =
        performance.now() + Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(entry.failures++, 10));
    }
    entry.busy = false;
    this.#running--;
    // All that end in one turn of the event loop are followed by one look at the whole.
    this.#due ??= setImmediate(() => {
      this.#due = undefined;
      this.#reconcile();
    });
  }

  /** Tells which prefixes may be announced now: those that are wanted, and those not surely withdrawn. */
  #expose(): void {
    const exposed = [...this.#entries.values()]
      .filter(({ state, announcement: { prefix } }) => state !== "withdrawn" || this.#wanted.has(prefix))
      .map(({ announcement: { prefix } }) => prefix);
    const key = exposed.join();
    if (key === this.#exposed) return;
    this.#exposed = key;
    this.#onExposed(exposed);
  }

  #tellWaiting(): void {
    if (this.#waiting.length === 0) return;
    const generation = this.#generation;
    const open = this.#connected
      ? [...this.#entries.values()].some((entry) => !this.#isRight(entry) && entry.failedIn < generation)
      : this.#unreachableIn < generation;
    if (generation > 0 && open) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
