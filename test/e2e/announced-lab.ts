/**
 * A lab whose router is told by BGP where the VIPs are, and measures of what it hears:
 *
 *     client ── router (BIRD, its kernel's routes are the judge) ── lb1, lb2 (GoBGP each) ── be1, be2 …
 */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { type LabRouter, type LabSpeaker, startRouter, startSpeaker } from "../../src/lab/bgp.ts";
import { Lab } from "../../src/lab/lab.ts";
import type { LoadReport } from "../../src/lab/load.ts";
import { type RouteWatch, watchRoutes } from "../../src/lab/route-watch.ts";
import { type ClientOptions, type LabClient, startLoad, vipUrl } from "../../src/lab/traffic.ts";
import { eventually } from "./harness.ts";
import { e2ePrefix, VIP } from "./setup.ts";

export const PREFIXES = [`${VIP.v4}/32`, `${VIP.v6}/128`];
/** Most time of a decision from Guideway to the router's kernel. It takes some 10 ms, and the machine may be busy. */
export const CHANGE_MS = 1000;
/** Most time of the guard, which connects to GoBGP first. It takes some 100 ms. */
export const GUARD_MS = 1500;
/** A session is tried again every second or two, and a hung one has to be found dead first. */
export const SESSION_MS = 12_000;
/** Intervals of the load's reports, and how many of them without a failure are taken for an undisturbed service. */
const REPORT_MS = 100;
const CLEAN_REPORTS = 5;

export interface Expectation {
  /** Longest time until it is so. */
  limitMs?: number;
  prefixes?: string[];
  /** When it began, by performance.now(); without it when the action starts. */
  sinceMs?: number;
}

export class AnnouncedLab {
  readonly lab: Lab;
  readonly router: LabRouter;
  readonly routes: RouteWatch;
  readonly speakers: Record<string, LabSpeaker>;

  private constructor(lab: Lab, router: LabRouter, routes: RouteWatch, speakers: Record<string, LabSpeaker>) {
    this.lab = lab;
    this.router = router;
    this.routes = routes;
    this.speakers = speakers;
  }

  /** Returns when all BGP sessions are there. */
  static async up(shape: { balancers: number; backends: number }): Promise<AnnouncedLab> {
    const lab = await Lab.up({
      prefix: e2ePrefix(),
      ...shape,
      queues: 2,
      vipRoutes: "none",
      vips: Object.values(VIP),
    });
    try {
      const router = await startRouter(lab);
      const speakers: Record<string, LabSpeaker> = {};
      for (const node of lab.nodes("balancer")) speakers[node] = await startSpeaker(lab, node);
      const routes = await watchRoutes(lab);
      await router.established(lab.nodes("balancer"));
      return new AnnouncedLab(lab, router, routes, speakers);
    } catch (error) {
      await lab.down();
      throw error;
    }
  }

  async down(): Promise<void> {
    await this.routes.stop();
    for (const daemon of [...Object.values(this.speakers), this.router]) await daemon.stop();
    await this.lab.down();
  }

  /**
   * After the action the router sends the VIPs to exactly these nodes, within the time; prints when it did.
   * @returns the longest time that a prefix took
   */
  async sends(
    t: TestContext,
    what: string,
    nodes: string[],
    action: () => unknown = () => {},
    expectation: Expectation = {},
  ): Promise<number> {
    const { limitMs = CHANGE_MS, prefixes = PREFIXES } = expectation;
    const seen = prefixes.map((prefix) => this.routes.until(prefix, nodes));
    const sinceMs = expectation.sinceMs ?? performance.now();
    const [times] = await Promise.all([Promise.all(seen), action()]);
    const ms = times.map((time) => Math.max(0, Math.round(time - sinceMs)));
    const where = nodes.join(" and ") || "nobody";
    t.diagnostic(
      `${what}: via ${where} after ${ms.join(" and ")} ms, at most ${limitMs} (${prefixes.join(", ")})`,
    );
    for (const each of ms) assert.ok(each <= limitMs, `${what}: ${each} ms, expected at most ${limitMs}`);
    return Math.max(...ms);
  }
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
      longLivedIntervalMs: 25,
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
