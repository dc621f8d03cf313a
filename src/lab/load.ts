/**
 * Continuous requests: `concurrency` loops that open connection after connection, and a few long-lived connections that
 * keep asking. Every answer names its backend; every failure has a reason, a time, a connection, and the backend that answered
 * on this connection before, if one has.
 */
import { Agent } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { type End, type RequestResult, sendRequest } from "./request.ts";

export interface LoadOptions {
  /** Taken in turns. */
  urls: URL[];
  concurrency: number;
  /** Requests before a loop opens a new connection. */
  requestsPerConnection: number;
  /** Requests per second of all loops together; 0 is as fast as it goes. */
  rate: number;
  /** Connections that are never closed from here, each asking every `longLivedIntervalMs`. */
  longLived: number;
  longLivedIntervalMs: number;
  timeoutMs: number;
}

/** A request that failed. Its connection tells whom it was for: a balancer chooses by the two ends. */
export interface Failure {
  /** Milliseconds since 1970. */
  startedAt: number;
  ms: number;
  reason: string;
  url: string;
  /** The client's end; absent when it did not come to a connection. */
  from?: End;
  /** Who answered last on this connection; absent on one that nobody has answered on. */
  backend?: string;
  longLived: boolean;
}

/** Counts since the last report, or since the start in a summary. Times in milliseconds. */
export interface LoadCounts {
  ok: number;
  failed: number;
  /** Requests answered, by backend, and failed, by reason. */
  backends: Record<string, number>;
  reasons: Record<string, number>;
  /** Response times of answered requests; connecting is part of it. */
  latency: { p50: number; p99: number; max: number };
  /** Of the long-lived connections only; they are part of the numbers above too. */
  longLived: {
    /** Open and answering now. */
    open: number;
    ok: number;
    failed: number;
    /** Connections that ended though nobody here closed them. */
    lost: number;
    /** The same by the backend that had answered on them. */
    lostFrom: Record<string, number>;
    /** Answers by another backend than the one before on the same connection: never, if all is well. */
    moved: number;
  };
  /** The first of those that failed: KEPT_FAILURES at most. */
  failures: Failure[];
}

export type LoadReport = LoadCounts & { type: "interval" | "summary"; atMs: number; durationMs: number };

/** Response times kept for percentiles of a report; later ones replace earlier ones. */
const KEPT_TIMES = 8192;
const KEPT_FAILURES = 1000;

class Tally {
  readonly startedMs = performance.now();
  ok = 0;
  failed = 0;
  readonly backends: Record<string, number> = {};
  readonly reasons: Record<string, number> = {};
  readonly failures: Failure[] = [];
  readonly longLived = { open: 0, ok: 0, failed: 0, lost: 0, moved: 0 };
  readonly lostFrom: Record<string, number> = {};
  readonly #times = new Float64Array(KEPT_TIMES);
  #maxMs = 0;

  add(result: RequestResult): void {
    if (result.ok) {
      this.#times[this.ok++ % KEPT_TIMES] = result.ms;
      this.#maxMs = Math.max(this.#maxMs, result.ms);
      this.backends[result.backend] = (this.backends[result.backend] ?? 0) + 1;
    } else {
      this.failed++;
      this.reasons[result.reason] = (this.reasons[result.reason] ?? 0) + 1;
    }
  }

  addFailure(failure: Failure): void {
    if (this.failures.length < KEPT_FAILURES) this.failures.push(failure);
  }

  addLost(backend: string): void {
    this.longLived.lost++;
    this.lostFrom[backend] = (this.lostFrom[backend] ?? 0) + 1;
  }

  counts(open: number): LoadCounts {
    const times = this.#times.slice(0, this.ok).sort();
    const percentile = (part: number) => round(times[Math.floor((times.length - 1) * part)] ?? 0);
    return {
      ok: this.ok,
      failed: this.failed,
      backends: sorted(this.backends),
      reasons: sorted(this.reasons),
      latency: { p50: percentile(0.5), p99: percentile(0.99), max: round(this.#maxMs) },
      longLived: { ...this.longLived, open, lostFrom: sorted(this.lostFrom) },
      failures: this.failures,
    };
  }
}

/** One connection, opened anew where the server closed it between two requests; knows how many it opened. */
class CountingAgent extends Agent {
  connections = 0;

  constructor(keepAlive: boolean) {
    super({ keepAlive, maxSockets: 1 });
  }

  override createConnection(...parameters: Parameters<Agent["createConnection"]>) {
    this.connections++;
    return super.createConnection(...parameters);
  }
}

export class Load {
  readonly #options: LoadOptions;
  readonly #total = new Tally();
  #interval = new Tally();
  #stopping = false;
  #turn = 0;
  #open = 0;
  #nextMs = performance.now();
  readonly #loops: Promise<void>[];
  readonly #stop = new AbortController();

  /** Starts at once. */
  constructor(options: LoadOptions) {
    this.#options = options;
    this.#loops = [
      ...Array.from({ length: options.concurrency }, () => this.#connections()),
      ...Array.from({ length: options.longLived }, () => this.#longLived()),
    ];
  }

  /** Counts since the last call. */
  report(): LoadReport {
    const tally = this.#interval;
    this.#interval = new Tally();
    return this.#finish("interval", tally);
  }

  /** Lets the requests on the way come to an end, and counts them too. */
  async stop(): Promise<LoadReport> {
    this.#stopping = true;
    this.#stop.abort();
    await Promise.all(this.#loops);
    return this.#finish("summary", this.#total);
  }

  #finish(type: LoadReport["type"], tally: Tally): LoadReport {
    const durationMs = Math.round(performance.now() - tally.startedMs);
    return {
      type,
      atMs: Math.round(performance.now() - this.#total.startedMs),
      durationMs,
      ...tally.counts(this.#open),
    };
  }

  async #connections(): Promise<void> {
    const { requestsPerConnection, timeoutMs } = this.#options;
    while (!this.#stopping) {
      const url = this.#nextUrl();
      const agent = new CountingAgent(requestsPerConnection > 1);
      let backend: string | undefined;
      for (let left = requestsPerConnection; left > 0; left--) {
        await this.#pace();
        if (this.#stopping) break;
        // The last request on a connection says so, and the server closes: its port is free for the next at once.
        const headers = left === 1 ? { connection: "close" } : {};
        const result = await sendRequest({ url, agent, timeoutMs, headers });
        const same = agent.connections === 1;
        agent.connections = 1;
        this.#count(result, { url, backend: same ? backend : undefined, longLived: false });
        backend = result.backend;
        if (!result.ok) {
          // Where everything fails at once, the machine has better things to do.
          await this.#wait(20);
          break;
        }
      }
      agent.destroy();
    }
  }

  async #longLived(): Promise<void> {
    const { timeoutMs, longLivedIntervalMs } = this.#options;
    const url = this.#nextUrl();
    while (!this.#stopping) {
      let backend: string | undefined;
      const agent = new CountingAgent(true);
      let counted = false;
      while (!this.#stopping) {
        const result = await sendRequest({ url, agent, timeoutMs });
        const reopened = agent.connections > 1;
        agent.connections = 1;
        this.#count(result, { url, backend: reopened ? undefined : backend, longLived: true });
        const known = backend;
        if (known !== undefined && (reopened || !result.ok)) this.#each((tally) => tally.addLost(known));
        else if (result.ok && backend !== undefined && backend !== result.backend) {
          this.#each((tally) => tally.longLived.moved++);
        }
        if (!result.ok) break;
        backend = result.backend;
        if (!counted) this.#open++;
        counted = true;
        await this.#wait(longLivedIntervalMs);
      }
      if (counted && !this.#stopping) this.#open--;
      agent.destroy();
      await this.#wait(100);
    }
  }

  #nextUrl(): URL {
    return this.#options.urls[this.#turn++ % this.#options.urls.length]!;
  }

  /** @param asked what, on which kind of connection, and who has answered on it before */
  #count(
    result: RequestResult,
    { url, backend, longLived }: { url: URL; backend: string | undefined; longLived: boolean },
  ): void {
    this.#each((tally) => {
      tally.add(result);
      if (longLived) tally.longLived[result.ok ? "ok" : "failed"]++;
    });
    if (result.ok) return;
    const { ms, reason, from } = result;
    const known = result.backend ?? backend;
    const failure = {
      startedAt: Date.now() - ms,
      ms: round(ms),
      reason,
      url: url.href,
      ...(from && { from }),
      ...(known !== undefined && { backend: known }),
      longLived,
    };
    this.#each((tally) => tally.addFailure(failure));
  }

  #each(change: (tally: Tally) => void): void {
    change(this.#interval);
    change(this.#total);
  }

  /** Waits for this request's turn. Turns that were missed by more than a tenth of a second are not made up for. */
  async #pace(): Promise<void> {
    const { rate } = this.#options;
    if (rate === 0) return;
    const nowMs = performance.now();
    this.#nextMs = Math.max(this.#nextMs + 1000 / rate, nowMs - 100);
    if (this.#nextMs > nowMs) await this.#wait(this.#nextMs - nowMs);
  }

  async #wait(ms: number): Promise<void> {
    if (!this.#stopping) await sleep(ms, undefined, { signal: this.#stop.signal }).catch(() => {});
  }
}

function sorted(counts: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
