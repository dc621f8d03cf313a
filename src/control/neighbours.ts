// Next hops: for every backend the interface and the MAC address that its packets go to, kept as the kernel
// learns them.
//
// Nothing but the workers sends to a backend, and they bypass the kernel; so the kernel is asked to keep the
// entries fresh itself ("managed"). Changes arrive by its monitor; a poll catches what that missed.

import type { DirectoryBackend, NextHop } from "../dataplane/directory.ts";
import { GuidewayError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { macBytes } from "../mac.ts";
import { forgetNeighbour, manageNeighbour, neighboursOf, routeTo, watchNeighbours } from "./iproute.ts";

const POLL_MS = 2000;
const SETTLE_MS = 20;

interface Target {
  backend: DirectoryBackend;
  interface: number;
  dev: string;
  /** Address of the neighbour; undefined when the configuration gives the MAC. */
  neighbour: string | undefined;
  mac: string | undefined;
}

export interface NeighbourOptions {
  /** Names of the interfaces, in the order of their records. */
  interfaces: readonly string[];
  /** Pools whose VIPs forward on layer 2: their backends must be on the link. */
  onLink: ReadonlySet<string>;
  setNextHop: (id: number, hop: NextHop | undefined) => void;
  log: Logger;
}

export class Neighbours {
  readonly #options: NeighbourOptions;
  #targets: Target[] = [];
  #poll: NodeJS.Timeout | undefined;
  #settling: NodeJS.Timeout | undefined;
  #unwatch: (() => void) | undefined;
  #refreshing: Promise<void> = Promise.resolve();

  constructor(options: NeighbourOptions) {
    this.#options = options;
  }

  /** Finds the routes, asks for the neighbours, and follows them from then on. */
  async start(backends: readonly DirectoryBackend[]): Promise<void> {
    const targets = await Promise.all(backends.map((backend) => this.#target(backend)));
    this.#targets = targets.filter((target) => target !== undefined);
    for (const { neighbour, dev } of this.#neighbours()) await manageNeighbour(neighbour, dev);
    this.#unwatch = watchNeighbours(() => {
      this.#settling ??= setTimeout(() => {
        this.#settling = undefined;
        this.#refreshSoon();
      }, SETTLE_MS);
    });
    this.#poll = setInterval(() => this.#refreshSoon(), POLL_MS);
    await this.#refresh();
  }

  /** The distinct neighbours that the kernel is asked to keep. */
  #neighbours(): { neighbour: string; dev: string }[] {
    const distinct = new Map<string, { neighbour: string; dev: string }>();
    for (const { neighbour, dev } of this.#targets) {
      if (neighbour) distinct.set(`${dev} ${neighbour}`, { neighbour, dev });
    }
    return [...distinct.values()];
  }

  async #target(backend: DirectoryBackend): Promise<Target | undefined> {
    const { interfaces, onLink, log } = this.#options;
    const { name, address, mac } = backend.config;
    try {
      const { dev, gateway } = await routeTo(address);
      const index = interfaces.indexOf(dev);
      if (index < 0) {
        throw new GuidewayError(
          "NEXT_HOP",
          `the route to it leaves by ${dev}, which is not among the configured interfaces (${interfaces.join(", ")})`,
        );
      }
      if (gateway && onLink.has(backend.pool) && !mac) {
        throw new GuidewayError(
          "NEXT_HOP",
          `it is behind the router ${gateway}, but forward: l2 needs it on the segment`,
        );
      }
      return { backend, interface: index, dev, neighbour: mac ? undefined : (gateway ?? address), mac };
    } catch (error) {
      log.error(
        { pool: backend.pool, backend: name, address, reason: (error as Error).message },
        "backend has no next hop: its packets are dropped as unresolved",
      );
      return undefined;
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
    const known = new Map<string, string | undefined>();
    for (const dev of new Set(this.#neighbours().map((each) => each.dev))) {
      for (const { address, mac } of await neighboursOf(dev)) known.set(`${dev} ${address}`, mac);
    }
    for (const target of this.#targets) {
      if (!target.neighbour) {
        this.#set(target, target.mac);
        continue;
      }
      const mac = known.get(`${target.dev} ${target.neighbour}`);
      if (mac === undefined && target.mac !== undefined) {
        // The entry failed or is being resolved again. Where it was is the best guess, and health checks
        // decide about backends that are gone.
        continue;
      }
      this.#set(target, mac);
    }
  }

  #set(target: Target, mac: string | undefined): void {
    if (target.mac !== mac) {
      const { pool, config } = target.backend;
      this.#options.log.info({ pool, backend: config.name, dev: target.dev, mac: mac ?? "none" }, "next hop");
    }
    target.mac = mac;
    this.#options.setNextHop(
      target.backend.id,
      mac ? { mac: macBytes(mac), interface: target.interface } : undefined,
    );
  }

  /** Whether every backend with a route has a MAC address. */
  get resolved(): boolean {
    return this.#targets.every(({ mac }) => mac !== undefined);
  }

  nextHop(id: number): { dev: string; address: string | undefined; mac: string | undefined } | undefined {
    const target = this.#targets.find(({ backend }) => backend.id === id);
    return target && { dev: target.dev, address: target.neighbour, mac: target.mac };
  }

  /** Stops following, and takes back what was asked of the kernel. */
  async stop(): Promise<void> {
    clearInterval(this.#poll);
    clearTimeout(this.#settling);
    this.#unwatch?.();
    await this.#refreshing;
    for (const { neighbour, dev } of this.#neighbours()) await forgetNeighbour(neighbour, dev);
  }
}
