/**
 * Continuous requests: `concurrency` loops that open connection after connection, and a few long-lived connections that
 * keep asking. Every answer names its backend; every failure has a reason.
 */
import { Agent } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { type RequestResult, sendRequest } from "./request.ts";

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
    /** Answers by another backend than the one before on the same connection: never, if all is well. */
    moved: number;
  };
}

export type LoadReport = LoadCounts & { type: "interval" | "summary"; atMs: number; durationMs: number };

/** Response times kept for percentiles of a report; later ones replace earlier ones. */
const KEPT_TIMES = 8192;

class Tally {
  readonly startedMs = performance.now();
  ok = 0;
  failed = 0;
  readonly backends: Record<string, number> = {};
  readonly reasons: Record<string, number> = {};
  readonly longLived = { open: 0, ok: 0, failed: 0, lost: 0, moved: 0 };
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

  counts(open: number): LoadCounts {
    const times = this.#times.slice(0, this.ok).sort();
    const percentile = (part: number) => round(times[Math.floor((times.length - 1) * part)] ?? 0);
    return {
      ok: this.ok,
      failed: this.failed,
      backends: sorted(this.backends),
      reasons: sorted(this.reasons),
      latency: { p50: percentile(0.5), p99: percentile(0.99), max: round(this.#maxMs) },
      longLived: { ...this.longLived, open },
    };
  }
}

/** Knows how many connections it opened. */
class CountingAgent extends Agent {
  connections = 0;

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
      const agent = new Agent({ keepAlive: requestsPerConnection > 1, maxSockets: 1 });
      for (let left = requestsPerConnection; left > 0; left--) {
        await this.#pace();
        if (this.#stopping) break;
        // The last request on a connection says so, and the server closes: its port is free for the next at once.
        const headers = left === 1 ? { connection: "close" } : {};
        const result = await sendRequest({ url, agent, timeoutMs, headers });
        this.#count(result);
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
      const agent = new CountingAgent({ keepAlive: true, maxSockets: 1 });
      let counted = false;
      while (!this.#stopping) {
        const result = await sendRequest({ url, agent, timeoutMs });
        this.#count(result, "longLived");
        // The agent opens a new connection where the server closed the old one between two requests.
        const reopened = agent.connections > 1;
        agent.connections = 1;
        if (reopened || (!result.ok && backend !== undefined)) this.#each((tally) => tally.longLived.lost++);
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

  #count(result: RequestResult, kind?: "longLived"): void {
    this.#each((tally) => {
      tally.add(result);
      if (kind) tally.longLived[result.ok ? "ok" : "failed"]++;
    });
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
