// The ways to clients, for answers that pass through (`forward: nat`): the kernel's routes and neighbours as prefixes and next
// hops, and which addresses are this machine's own. Without such a VIP nothing is read and nothing is asked of the kernel.
//
//   route by a gateway     its prefix → the gateway's MAC address; the kernel is asked to keep that fresh
//   route to a link        its prefix → unresolved, and each neighbour on it that the kernel knows → its MAC address
//   route to nowhere       its prefix → unresolved
//
// Changes arrive by the kernel's monitor; a poll catches what that missed. A neighbour that the kernel forgets keeps its last
// address here: nobody but the workers sends to clients, so the kernel does not look for them again.

import { canonicalPrefix } from "../config/prefix.ts";
import type { NextHop } from "../dataplane/backend-records.ts";
import { MAX_ROUTES, type Way } from "../dataplane/routes.ts";
import type { Logger } from "../log.ts";
import { macBytes } from "../mac.ts";
import {
  addressesOf,
  forgetNeighbour,
  type KernelRoute,
  manageNeighbour,
  neighboursOf,
  routesOf,
} from "./iproute.ts";
import type { KernelMonitor } from "./kernel-monitor.ts";

const POLL_MS = 2000;
const SETTLE_MS = 50;

export interface ClientRoutesOptions {
  /** Names of the interfaces, in the order of their records. */
  interfaces: readonly string[];
  /** Ways that are there whatever the kernel says, in front of its own. */
  fixed: readonly Way[];
  setWays: (ways: readonly Way[]) => void;
  setOwn: (addresses: readonly string[]) => void;
  monitor: KernelMonitor;
  log: Logger;
}

interface Entry {
  mac: string | undefined;
  managed: boolean;
  static: boolean;
}

export class ClientRoutes {
  readonly #options: ClientRoutesOptions;
  #active = false;
  /** MAC addresses as last known, by "dev address". */
  readonly #macs = new Map<string, string>();
  /** Gateways that the kernel was asked to keep, by "dev address"; whether it was seen to do so. */
  readonly #managed = new Map<string, { dev: string; address: string; kept: boolean }>();
  #own: string | undefined;
  #complaint: string | undefined;
  #poll: NodeJS.Timeout | undefined;
  #settling: NodeJS.Timeout | undefined;
  #unwatch: (() => void)[] = [];
  #refreshing: Promise<void> = Promise.resolve();

  constructor(options: ClientRoutesOptions) {
    this.#options = options;
  }

  /** Follows the kernel from here on, or no more. Resolves when it was read once. */
  async follow(active: boolean): Promise<void> {
    if (active === this.#active) return;
    this.#active = active;
    if (!active) return this.stop();
    const changed = () => {
      this.#settling ??= setTimeout(() => {
        this.#settling = undefined;
        this.#refreshSoon();
      }, SETTLE_MS);
    };
    const { monitor } = this.#options;
    this.#unwatch = (["neigh", "route", "address"] as const).map((what) => monitor.on(what, changed));
    this.#poll = setInterval(() => this.#refreshSoon(), POLL_MS);
    this.#refreshSoon();
    await this.#refreshing;
  }

  /** Whether every gateway has a MAC address. */
  get resolved(): boolean {
    return [...this.#managed.keys()].every((key) => this.#macs.has(key));
  }

  #refreshSoon(): void {
    this.#refreshing = this.#refreshing
      .then(() => this.#refresh())
      .catch((error: unknown) =>
        this.#options.log.warn({ err: error }, "routes to clients cannot be read; the last ones stay"),
      );
  }

  async #refresh(): Promise<void> {
    const { interfaces, fixed, setWays, setOwn } = this.#options;
    const [v4, v6, own] = await Promise.all([routesOf(4), routesOf(6), addressesOf()]);
    const known = new Map<string, Map<string, Entry>>();
    for (const dev of interfaces) {
      const entries = await neighboursOf(dev);
      known.set(dev, new Map(entries.map((entry) => [entry.address, entry])));
    }
    for (const [dev, entries] of known) {
      for (const [address, { mac }] of entries) if (mac) this.#macs.set(`${dev} ${address}`, mac);
    }
    if (!this.#active) return;
    if (own.join() !== this.#own) setOwn(own);
    this.#own = own.join();
    const routes = bestOf([...v4, ...v6]);
    await this.#keepGateways(routes, known);
    const neighbours = [...this.#macs.keys()].map((key) => {
      const [dev = "", address = ""] = key.split(" ");
      return { prefix: address, hop: this.#hop(dev, address) };
    });
    const named = new Set(fixed.map(({ prefix }) => prefix));
    const ways = new Map<string, Way>();
    for (const { prefix, dev, gateway } of routes)
      ways.set(prefix, { prefix, hop: dev && gateway ? this.#hop(dev, gateway) : undefined });
    for (const way of neighbours) ways.set(way.prefix, way);
    for (const prefix of named) ways.delete(prefix);
    setWays(this.#limited([...fixed, ...ways.values()]));
  }

  #hop(dev: string, address: string): NextHop | undefined {
    const mac = this.#macs.get(`${dev} ${address}`);
    const index = this.#options.interfaces.indexOf(dev);
    return mac === undefined || index < 0 ? undefined : { mac: macBytes(mac), interface: index };
  }

  /** Asks the kernel to keep the entries of gateways fresh, and lets go of those that are none any more. */
  async #keepGateways(
    routes: readonly KernelRoute[],
    known: ReadonlyMap<string, ReadonlyMap<string, Entry>>,
  ): Promise<void> {
    const needed = new Set<string>();
    for (const { dev, gateway } of routes) {
      const entries = dev === undefined ? undefined : known.get(dev);
      if (dev === undefined || gateway === undefined || !entries) continue;
      const key = `${dev} ${gateway}`;
      if (needed.has(key)) continue;
      needed.add(key);
      const entry = entries.get(gateway);
      if (!entry?.static) await this.#manage(key, dev, gateway, entry?.managed ?? false);
    }
    for (const [key, { dev, address }] of this.#managed) {
      if (needed.has(key)) continue;
      this.#managed.delete(key);
      this.#macs.delete(key);
      await forgetNeighbour(address, dev);
    }
  }

  async #manage(key: string, dev: string, address: string, kept: boolean): Promise<void> {
    const asked = this.#managed.get(key);
    if (asked && kept) asked.kept = true;
    if (asked && asked.kept === kept) return;
    this.#managed.set(key, { dev, address, kept: false });
    await manageNeighbour(address, dev).catch((error: Error) =>
      this.#options.log.warn(
        { dev, address, reason: error.message },
        "gateway is not kept fresh by the kernel",
      ),
    );
  }

  /** The shortest prefixes, which lead to most clients, as many as there is room for. */
  #limited(ways: Way[]): Way[] {
    const complaint =
      ways.length > MAX_ROUTES
        ? `there are ${ways.length} routes and neighbours, expected at most ${MAX_ROUTES}`
        : undefined;
    if (complaint !== undefined && this.#complaint === undefined)
      this.#options.log.error(
        { reason: complaint },
        "answers to some clients find no way or not the best one",
      );
    this.#complaint = complaint;
    if (complaint === undefined) return ways;
    const length = ({ prefix }: Way) => Number(prefix.split("/")[1] ?? 128);
    return ways.sort((a, b) => length(a) - length(b)).slice(0, MAX_ROUTES);
  }

  /** Stops following, and takes back what was asked of the kernel. May be called again. */
  async stop(): Promise<void> {
    this.#active = false;
    clearInterval(this.#poll);
    clearTimeout(this.#settling);
    this.#settling = undefined;
    for (const end of this.#unwatch.splice(0)) end();
    await this.#refreshing;
    for (const { address, dev } of this.#managed.values()) await forgetNeighbour(address, dev);
    this.#managed.clear();
  }
}

/** Of several routes to a prefix the one that the kernel takes, the least metric; prefixes in canonical text. */
function bestOf(routes: readonly KernelRoute[]): KernelRoute[] {
  const best = new Map<string, KernelRoute>();
  for (const route of routes) {
    const prefix = canonicalPrefix(route.prefix);
    if (prefix === undefined) continue;
    const other = best.get(prefix);
    if (!other || route.metric < other.metric) best.set(prefix, { ...route, prefix });
  }
  return [...best.values()];
}
