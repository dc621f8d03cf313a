/**
 * A lab whose router is told by BGP where the VIPs are, and measures of what it hears:
 *
 *     client ── router (BIRD, its kernel's routes are the judge) ── lb1, lb2 (GoBGP each) ── be1, be2 …
 */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { type LabRouter, type LabSpeaker, startRouter, startSpeaker } from "../../src/lab/bgp.ts";
import { Lab } from "../../src/lab/lab.ts";
import { type RouteWatch, watchRoutes } from "../../src/lab/route-watch.ts";
import { e2ePrefix, VIP } from "./setup.ts";

export const PREFIXES = [`${VIP.v4}/32`, `${VIP.v6}/128`];
/** Most time of a decision from Guideway to the router's kernel. It takes some 10 ms, and the machine may be busy. */
export const CHANGE_MS = 1000;
/** Most time of the guard, which connects to GoBGP first. It takes some 100 ms. */
export const GUARD_MS = 1500;
/** A session is tried again every second or two, and a hung one has to be found dead first. */
export const SESSION_MS = 12_000;

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
