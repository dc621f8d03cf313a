// Next hops: for every backend the interface and the MAC address that its packets go to, as the kernel has them.
//
//   what changes                 what follows
//   a route, a link              the routes to all backends are looked up again, by one process
//   a neighbour                  the entries are read again
//   anything that nobody told    so they are every 2 s, and routes are looked for that were not there before
//
//   of a backend               its packets go
//   there is no route          nowhere: they are dropped as unresolved
//   the route is another one   where they went, until the new neighbour is known, for a second at most
//   its neighbour fails        where they went: that is the best guess
//
// Nothing but the workers sends to a backend, and they bypass the kernel; so the kernel is asked to keep the entries fresh itself
// ("managed"). Entries made by hand are followed and never touched.

import type { NextHop } from "../dataplane/backend-records.ts";
import type { DirectoryBackend } from "../dataplane/directory.ts";
import { GuidewayError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { macBytes } from "../mac.ts";
import {
  forgetNeighbour,
  manageNeighbour,
  type Neighbour,
  neighboursOf,
  type Route,
  routesTo,
} from "./iproute.ts";
import type { KernelMonitor } from "./kernel-monitor.ts";
import { keyOf, type Way, type WayOptions, wayBy } from "./way.ts";

const POLL_MS = 2000;
/** From the first event to what follows. */
const SETTLE_MS = 20;
/** From one lookup of all routes to the next, where they change all the time. */
const SPACING_MS = 250;
/** How long packets go the old way while the neighbour on the new one is not known. */
const OLD_WAY_MS = 1000;

interface Target {
  backend: DirectoryBackend;
  /** The MAC address of its configuration when it was looked up. */
  given: string | undefined;
  /** Undefined while there is no route. */
  way: Way | undefined;
  /** When it was found, by performance.now(). */
  wayMs: number;
  /** The MAC address on a way. */
  known: { key: string; mac: string } | undefined;
  /** Where its packets go. */
  hop: { dev: string; interface: number; mac: string } | undefined;
  /** Why there is none, as it was last said. */
  complaint: string | undefined;
}

export interface NeighbourOptions extends WayOptions {
  setNextHop: (id: number, hop: NextHop | undefined) => void;
  /** Tells of changes. */
  monitor: Pick<KernelMonitor, "on">;
  log: Logger;
}

export class Neighbours {
  readonly #options: NeighbourOptions;
  #targets: Target[] = [];
  /** Entries that the kernel was asked to keep: "dev address". `kept`: it was seen to do so. */
  readonly #managed = new Map<string, { dev: string; address: string; kept: boolean }>();
  #poll: NodeJS.Timeout | undefined;
  #settling: NodeJS.Timeout | undefined;
  #rerouting: NodeJS.Timeout | undefined;
  #lookedUpMs = 0;
  /** Routes may be others than they were. */
  #stale = true;
  #unwatch: (() => void)[] = [];
  #refreshing: Promise<void> = Promise.resolve();

  constructor(options: NeighbourOptions) {
    this.#options = options;
  }

  /** Follows the kernel's neighbours from here on; backends are named by follow(). */
  start(): void {
    const { monitor } = this.#options;
    this.#unwatch = [
      monitor.on("neigh", () => this.#neighboursChanged()),
      monitor.on("route", () => this.#routesChanged()),
      monitor.on("link", () => this.#routesChanged()),
    ];
    this.#poll = setInterval(() => this.#refreshSoon(), POLL_MS);
  }

  #neighboursChanged(): void {
    this.#settling ??= setTimeout(() => {
      this.#settling = undefined;
      this.#refreshSoon();
    }, SETTLE_MS);
  }

  #routesChanged(): void {
    const afterMs = Math.max(SETTLE_MS, this.#lookedUpMs + SPACING_MS - performance.now());
    this.#rerouting ??= setTimeout(() => {
      this.#rerouting = undefined;
      this.#stale = true;
      this.#refreshSoon();
    }, afterMs);
  }

  /**
   * Follows these backends and no others: finds their routes and asks for their neighbours. Resolves when that was tried once.
   */
  async follow(backends: readonly DirectoryBackend[]): Promise<void> {
    const known = new Map(this.#targets.map((target) => [target.backend.id, target]));
    this.#targets = backends.map((backend) => {
      const target = known.get(backend.id);
      if (target?.backend === backend && target.given === backend.config.mac) return target;
      return {
        backend,
        given: backend.config.mac,
        way: undefined,
        wayMs: 0,
        known: undefined,
        hop: undefined,
        complaint: undefined,
      };
    });
    this.#stale = true;
    this.#refreshSoon();
    await this.#refreshing;
  }

  /** Lets go of the neighbours that no backend needs any more. */
  async #forgetOthers(): Promise<void> {
    const needed = new Set(this.#targets.map(({ way }) => way && keyOf(way)));
    for (const [key, { address, dev }] of this.#managed) {
      if (needed.has(key)) continue;
      this.#managed.delete(key);
      await forgetNeighbour(address, dev);
    }
  }

  #refreshSoon(): void {
    this.#refreshing = this.#refreshing
      .then(() => this.#refresh())
      .catch((error: unknown) =>
        this.#options.log.warn({ err: error }, "neighbours cannot be read; the last ones stay"),
      );
  }

  async #refresh(): Promise<void> {
    await this.#findWays();
    const known = await this.#neighbours();
    for (const target of this.#targets) {
      const { way, backend } = target;
      const key = way && keyOf(way);
      const entry = way?.neighbour ? known.get(key!) : undefined;
      if (way?.neighbour && !entry?.static)
        await this.#manage(way.dev, way.neighbour, entry?.managed ?? false);
      const mac = way?.neighbour ? entry?.mac : backend.config.mac;
      if (key && mac) target.known = { key, mac };
      this.#choose(target);
    }
    await this.#forgetOthers();
  }

  /** Looks up the routes that may have changed, or are missing. */
  async #findWays(): Promise<void> {
    const targets = this.#targets.filter(({ way }) => this.#stale || way === undefined);
    if (targets.length === 0) return;
    this.#stale = false;
    this.#lookedUpMs = performance.now();
    const addresses = [...new Set(targets.map(({ backend }) => backend.config.address))];
    const routes = await routesTo(addresses).catch((error: unknown) => {
      this.#stale = true;
      throw error;
    });
    for (const target of targets) this.#findWay(target, routes.get(target.backend.config.address)!);
  }

  #findWay(target: Target, route: Route | GuidewayError): void {
    const { pool, config } = target.backend;
    try {
      if (route instanceof GuidewayError) throw route;
      const way = wayBy(route, target.backend, this.#options);
      if (!target.way || keyOf(way) !== keyOf(target.way)) target.wayMs = performance.now();
      target.way = way;
      target.complaint = undefined;
    } catch (error) {
      const { message } = error as Error;
      target.way = undefined;
      if (message === target.complaint) return;
      target.complaint = message;
      this.#options.log.error(
        { pool, backend: config.name, address: config.address, reason: message },
        "backend has no next hop: its packets are dropped as unresolved",
      );
    }
  }

  /** The kernel's entries on the devices that matter, by "dev address". */
  async #neighbours(): Promise<Map<string, Neighbour>> {
    const devices = new Set(this.#targets.flatMap(({ way }) => (way?.neighbour ? [way.dev] : [])));
    const known = new Map<string, Neighbour>();
    for (const dev of devices) {
      for (const entry of await neighboursOf(dev)) known.set(`${dev} ${entry.address}`, entry);
    }
    return known;
  }

  /**
   * Asks the kernel once to keep an entry, and again when it has let go of it: with a link that goes down all entries go.
   * @param kept whether it keeps it now
   */
  async #manage(dev: string, address: string, kept: boolean): Promise<void> {
    const key = `${dev} ${address}`;
    const asked = this.#managed.get(key);
    if (asked && kept) asked.kept = true;
    if (asked && asked.kept === kept) return;
    this.#managed.set(key, { dev, address, kept: false });
    await manageNeighbour(address, dev).catch((error: Error) =>
      this.#options.log.warn(
        { dev, address, reason: error.message },
        "neighbour is not kept fresh by the kernel",
      ),
    );
  }

  /** Decides where a backend's packets go, and has them go there. */
  #choose(target: Target): void {
    const { way, wayMs, known, hop: before } = target;
    if (way && known?.key === keyOf(way)) {
      target.hop = { dev: way.dev, interface: way.interface, mac: known.mac };
    } else if (!way || performance.now() - wayMs > OLD_WAY_MS) {
      target.hop = undefined;
    }
    const { backend, hop } = target;
    if (hop?.mac !== before?.mac || hop?.interface !== before?.interface) {
      const fields = { pool: backend.pool, backend: backend.config.name, dev: hop?.dev ?? way?.dev };
      this.#options.log.info({ ...fields, mac: hop?.mac ?? "none" }, "next hop");
    }
    this.#options.setNextHop(backend.id, hop && { mac: macBytes(hop.mac), interface: hop.interface });
  }

  /** Whether those of these backends that have a route have a MAC address too. */
  resolved(backends: readonly DirectoryBackend[]): boolean {
    const ids = new Set(backends.map(({ id }) => id));
    return this.#targets.every(
      ({ backend, way, hop }) => !ids.has(backend.id) || way === undefined || hop !== undefined,
    );
  }

  nextHop(id: number): { dev: string; address: string | undefined; mac: string | undefined } | undefined {
    const target = this.#targets.find(({ backend }) => backend.id === id);
    if (!target?.way) return undefined;
    const { way, known } = target;
    const mac = known?.key === keyOf(way) ? known.mac : undefined;
    return { dev: way.dev, address: way.neighbour, mac };
  }

  /** Stops following, and takes back what was asked of the kernel. */
  async stop(): Promise<void> {
    clearInterval(this.#poll);
    clearTimeout(this.#settling);
    clearTimeout(this.#rerouting);
    for (const unwatch of this.#unwatch) unwatch();
    await this.#refreshing;
    for (const { address, dev } of this.#managed.values()) await forgetNeighbour(address, dev);
  }
}
