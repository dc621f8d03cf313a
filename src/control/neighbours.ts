// Next hops: for every backend the interface and the MAC address that its packets go to, kept as the kernel
// learns them.
//
// Nothing but the workers sends to a backend, and they bypass the kernel; so the kernel is asked to keep the
// entries fresh itself ("managed"). Changes arrive by its monitor; a poll catches what that missed, and looks
// for the routes that were not there before. Entries made by hand are followed and never touched.

import type { NextHop } from "../dataplane/backend-records.ts";
import type { DirectoryBackend } from "../dataplane/directory.ts";
import { GuidewayError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { macBytes } from "../mac.ts";
import { forgetNeighbour, manageNeighbour, type Neighbour, neighboursOf, routeTo } from "./iproute.ts";
import type { KernelMonitor } from "./kernel-monitor.ts";

const POLL_MS = 2000;
const SETTLE_MS = 20;
/** Lookups at a time: each is a process. */
const LOOKUPS = 4;

/** Where a backend's packets leave. */
interface Way {
  dev: string;
  interface: number;
  /** Address of the neighbour; undefined when the configuration gives the MAC. */
  neighbour: string | undefined;
}

interface Target {
  backend: DirectoryBackend;
  /** The MAC address of its configuration when it was looked up. */
  given: string | undefined;
  /** Undefined while there is no route. */
  way: Way | undefined;
  mac: string | undefined;
  /** Why there is none, as it was last said. */
  complaint: string | undefined;
}

export interface NeighbourOptions {
  /** Names of the interfaces, in the order of their records. */
  interfaces: readonly string[];
  /** Whether VIPs of a pool forward on layer 2: its backends must be on the link. */
  onLink: (pool: string) => boolean;
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
  #unwatch: (() => void) | undefined;
  #refreshing: Promise<void> = Promise.resolve();

  constructor(options: NeighbourOptions) {
    this.#options = options;
  }

  /** Follows the kernel's neighbours from here on; backends are named by follow(). */
  start(): void {
    this.#unwatch = this.#options.monitor.on("neigh", () => {
      this.#settling ??= setTimeout(() => {
        this.#settling = undefined;
        this.#refreshSoon();
      }, SETTLE_MS);
    });
    this.#poll = setInterval(() => this.#refreshSoon(), POLL_MS);
  }

  /**
   * Follows these backends and no others: finds the routes of the new ones and asks for their neighbours. Resolves when
   * that was tried once.
   */
  async follow(backends: readonly DirectoryBackend[]): Promise<void> {
    const known = new Map(this.#targets.map((target) => [target.backend.id, target]));
    this.#targets = backends.map((backend) => {
      const target = known.get(backend.id);
      if (target?.backend === backend && target.given === backend.config.mac) return target;
      return { backend, given: backend.config.mac, way: undefined, mac: undefined, complaint: undefined };
    });
    this.#refreshSoon();
    await this.#refreshing;
    await this.#forgetOthers();
  }

  /** Lets go of the neighbours that no backend needs any more. */
  async #forgetOthers(): Promise<void> {
    const needed = new Set(this.#targets.map(({ way }) => way && `${way.dev} ${way.neighbour}`));
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
    await this.#findWays(this.#targets.filter(({ way }) => way === undefined));
    const known = await this.#neighbours();
    for (const target of this.#targets) {
      const { way, backend } = target;
      if (!way) continue;
      if (!way.neighbour) {
        this.#set(target, backend.config.mac);
        continue;
      }
      const entry = known.get(`${way.dev} ${way.neighbour}`);
      if (!entry?.static) await this.#manage(way.dev, way.neighbour, entry?.managed ?? false);
      // An entry that failed or is being resolved again: where the backend was is the best guess.
      if (entry?.mac !== undefined || target.mac === undefined) this.#set(target, entry?.mac);
    }
  }

  /** Looks routes up, a few at a time. */
  async #findWays(targets: Target[]): Promise<void> {
    const queue = [...targets];
    const lookUp = async () => {
      for (let target = queue.shift(); target; target = queue.shift()) await this.#findWay(target);
    };
    await Promise.all(Array.from({ length: LOOKUPS }, lookUp));
  }

  async #findWay(target: Target): Promise<void> {
    const { interfaces, onLink, log } = this.#options;
    const { pool, config } = target.backend;
    const { name, address, mac } = config;
    try {
      const { dev, gateway } = await routeTo(address);
      const index = interfaces.indexOf(dev);
      if (index < 0) {
        throw new GuidewayError(
          "NEXT_HOP",
          `the route to it leaves by ${dev}, which is not among the configured interfaces (${interfaces.join(", ")})`,
        );
      }
      if (gateway && onLink(pool) && !mac) {
        throw new GuidewayError(
          "NEXT_HOP",
          `it is behind the router ${gateway}, but forward: l2 needs it on the segment`,
        );
      }
      target.way = { dev, interface: index, neighbour: mac ? undefined : (gateway ?? address) };
    } catch (error) {
      const { message } = error as Error;
      if (message === target.complaint) return;
      target.complaint = message;
      log.error(
        { pool, backend: name, address, reason: message },
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

  #set(target: Target, mac: string | undefined): void {
    const { way, backend } = target;
    if (target.mac !== mac) {
      const { pool, config } = backend;
      this.#options.log.info({ pool, backend: config.name, dev: way?.dev, mac: mac ?? "none" }, "next hop");
    }
    target.mac = mac;
    const hop = mac && way ? { mac: macBytes(mac), interface: way.interface } : undefined;
    this.#options.setNextHop(backend.id, hop);
  }

  /** Whether those of these backends that have a route have a MAC address too. */
  resolved(backends: readonly DirectoryBackend[]): boolean {
    const ids = new Set(backends.map(({ id }) => id));
    return this.#targets.every(
      ({ backend, way, mac }) => !ids.has(backend.id) || way === undefined || mac !== undefined,
    );
  }

  nextHop(id: number): { dev: string; address: string | undefined; mac: string | undefined } | undefined {
    const target = this.#targets.find(({ backend }) => backend.id === id);
    return target?.way && { dev: target.way.dev, address: target.way.neighbour, mac: target.mac };
  }

  /** Stops following, and takes back what was asked of the kernel. */
  async stop(): Promise<void> {
    clearInterval(this.#poll);
    clearTimeout(this.#settling);
    this.#unwatch?.();
    await this.#refreshing;
    for (const { address, dev } of this.#managed.values()) await forgetNeighbour(address, dev);
  }
}
