// Requests of real clients without a break, and how they fare.

import assert from "node:assert/strict";
import type { Lab } from "../../src/lab/lab.ts";
import type { LoadReport } from "../../src/lab/load.ts";
import { type ClientOptions, type LabClient, startLoad, vipUrl } from "../../src/lab/traffic.ts";
import { eventually } from "./harness.ts";
import { VIP } from "./setup.ts";

/** Intervals of the load's reports, and how many of them without a failure are taken for an undisturbed service. */
const REPORT_MS = 100;
const CLEAN_REPORTS = 5;

/** Between two requests on a long-lived connection. */
export const ASK_MS = 25;

/** Short connections, and long-lived ones. */
export interface HeldLoad extends LabClient {
  /** Long-lived connections that are open now. */
  readonly open: number;
}

/** Starts both for all VIPs; returns when the long-lived connections are open. */
export async function holdLoad(
  lab: Lab,
  options: { longLived: number; timeoutMs: number },
): Promise<HeldLoad> {
  let open = 0;
  const { pid, summary, stop } = startLoad(lab, {
    urls: Object.values(VIP).map((address) => vipUrl(address)),
    concurrency: 4,
    rate: 200,
    longLivedIntervalMs: ASK_MS,
    intervalMs: 50,
    onReport: ({ longLived }: LoadReport) => {
      open = longLived.open;
    },
    ...options,
  });
  try {
    await eventually("the long-lived connections are open", () => open === options.longLived);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    pid,
    summary,
    stop,
    get open() {
      return open;
    },
  };
}

/** Requests of real clients without a break, and how they fare. */
export class Traffic {
  readonly #client: LabClient;
  /** Intervals in a row without a failure. */
  #clean = 0;
  readonly total = { ok: 0, failed: 0, lost: 0, moved: 0, open: 0 };
  readonly reasons: Record<string, number> = {};

  constructor(lab: Lab, options: Partial<ClientOptions> = {}) {
    this.#client = startLoad(lab, {
      urls: Object.values(VIP).map((address) => vipUrl(address)),
      concurrency: 4,
      rate: 200,
      longLived: 8,
      longLivedIntervalMs: ASK_MS,
      timeoutMs: 1000,
      intervalMs: REPORT_MS,
      onReport: (report) => this.#add(report),
      ...options,
    });
  }

  #add({ ok, failed, reasons, longLived }: LoadReport): void {
    this.#clean = ok > 0 && failed === 0 ? this.#clean + 1 : 0;
    this.total.ok += ok;
    this.total.failed += failed;
    this.total.lost += longLived.lost;
    this.total.moved += longLived.moved;
    this.total.open = longLived.open;
    for (const [reason, count] of Object.entries(reasons))
      this.reasons[reason] = (this.reasons[reason] ?? 0) + count;
  }

  /** Waits until requests have been answered for half a second from now, all of them. */
  async flows(): Promise<void> {
    this.#clean = 0;
    await eventually("all requests are answered", () => this.#clean >= CLEAN_REPORTS).catch(
      (error: Error) => {
        throw new Error(`${error.message}: ${JSON.stringify([this.total, this.reasons])}`);
      },
    );
  }

  /** Nothing has failed since the start: no request, and no long-lived connection has broken or changed its backend. */
  checkUnharmed(): void {
    const { failed, lost, moved } = this.total;
    assert.deepEqual(
      { failed, lost, moved, reasons: this.reasons },
      { failed: 0, lost: 0, moved: 0, reasons: {} },
    );
  }

  async stop(): Promise<void> {
    await this.#client.stop();
  }
}
