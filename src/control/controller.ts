// The controller of a Maglev machine (NSDI 2016, §2.2): it knows whether its forwarder works and which backends are alive, has
// the VIPs announced only while both hold, and changes what is in force without a lost packet.
//
//   start   health checks → machine → first answers → announcement
//   stop    announcement withdrawn → drain → the change that is under way → health checks end → machine
//
//   source of change     what follows
//   health checks        availability → tables are swapped → announcement
//   forwarder's health   announcement
//   commands             changes → availability or weights → announcement
//   reload               changes → VIPs that leave are withdrawn → machine, health checks, availability → announcement

import { setTimeout as sleep } from "node:timers/promises";
import type { Announcer } from "../announce/announcer.ts";
import { createAnnouncer } from "../announce/create.ts";
import type { Config } from "../config/schema.ts";
import { GuidewayError } from "../errors.ts";
import { HealthMonitor } from "../health/monitor.ts";
import type { HealthTarget } from "../health/target.ts";
import { healthTargets } from "../health/targets.ts";
import type { Logger } from "../log.ts";
import { AnnouncedVips } from "./announced-vips.ts";
import { Availability } from "./availability.ts";
import { Changes, type ConfigurationStatus, type Document, type Reloaded } from "./changes.ts";
import { History, type Origin } from "./history.ts";
import { Machine } from "./machine.ts";
import { newcomer, transition } from "./transition.ts";

/** How long new backends may take to answer their first check before they are put in force as they are. */
const FIRST_CHECK_MS = 2000;
const STEP_MS = 20;
/** Until health changes for which there was no room are tried again. */
const RETRY_MS = 1000;

export interface ControllerOptions {
  log: Logger;
  /** The machine's own file, which a reload without a text reads, and why it was not used, if another one was. Default: the document's. */
  file?: string;
  refused?: ConfigurationStatus["refused"];
  /** Called around a reload, for whoever must know that one is under way. */
  around?: <T>(change: () => Promise<T>) => Promise<T>;
  /** Takes over what a configuration says of the admin API. @throws when it cannot; the old one stays */
  admin?: (config: Config["admin"]) => void;
}

export class Controller {
  readonly machine: Machine;
  readonly availability: Availability;
  readonly changes: Changes;
  readonly history: History;
  readonly checks: HealthMonitor;
  readonly announcer: Announcer;
  readonly vips: AnnouncedVips;
  readonly #options: ControllerOptions;
  readonly #log: Logger;
  /** The machine's own file. */
  readonly #file: string;
  #retry: NodeJS.Timeout | undefined;

  /**
   * Opens everything; nothing flows yet.
   * @throws what Machine throws
   */
  constructor(config: Config, document: Document, options: ControllerOptions) {
    const { log } = options;
    this.#options = options;
    this.#log = log;
    this.#file = options.file ?? document.file;
    // First, while this process is small: it has a guard of its own.
    this.announcer = createAnnouncer(config, log);
    this.machine = new Machine(config, log);
    const { directory, statistics } = this.machine.engine;
    this.history = new History(config.change.state, log);
    this.checks = new HealthMonitor({
      log,
      onChange: (changes) => this.#refresh(changes.map(({ pool }) => pool)),
    });
    this.availability = new Availability({
      directory,
      isUp: (pool, backend) => this.#isUp(pool, backend),
      activeFlows: (id) => statistics.backend(id).activeFlows,
      log,
      onChange: () => this.vips.update(),
    });
    const { machine, availability } = this;
    this.vips = new AnnouncedVips({ announcer: this.announcer, machine, availability });
    this.machine.forwarder.onChange(() => this.vips.update());
    this.changes = new Changes({
      config,
      document,
      refused: options.refused,
      apply: (next) => this.#apply(next),
      keep: () => this.availability.prune(),
      readFiles: ({ admin }) => options.admin?.(admin),
      verify: () => this.machine.forwarder.verify(),
      states: (pool, backend) => this.#backend(pool, backend)?.state ?? "active",
      weightOf: (pool, backend) => this.#backend(pool, backend)?.weight,
      history: this.history,
      log,
    });
  }

  get config(): Config {
    return this.machine.config;
  }

  /** Changes that are asked for meanwhile wait. */
  start(origin: Origin = { by: "start" }): Promise<void> {
    return this.changes.start(origin, async () => {
      const targets = () => this.#targets(this.config);
      // Those that go through the data plane would fail before it works.
      this.checks.apply(targets().filter(({ localPort }) => localPort === undefined));
      this.#refresh();
      await this.machine.start();
      const problems = await this.machine.forwarder.verify();
      if (problems.length > 0) this.#log.error({ problems }, "the forwarder fails its self-test");
      // Routers are told of no VIP all of whose backends are down.
      this.checks.apply(targets());
      await this.#firstChecks(targets());
      this.#refresh();
      this.vips.begin();
      return problems;
    });
  }

  /** Rejects when a worker fails, which is a defect. */
  failure(): Promise<never> {
    return this.machine.failure();
  }

  /** Routers learn first; what is on its way to here is forwarded still. */
  async stop(): Promise<void> {
    const changes = this.changes.stop();
    await this.vips.stop();
    await changes;
    await this.checks.stop();
    clearTimeout(this.#retry);
    await this.machine.stop();
    await this.history.stop();
  }

  // ── Changes ────────────────────────────────────────────────────────────────────────────────────

  /**
   * Replaces the configuration; without a text by what is now in the file that the machine was started with.
   * @throws ConfigError, and what Changes.reload throws
   */
  reload(
    {
      text,
      file,
      force = false,
    }: { text?: string | undefined; file?: string | undefined; force?: boolean | undefined },
    origin: Origin,
  ): Promise<Reloaded> {
    const name = text === undefined ? this.#file : (file ?? this.#file);
    const { around = (change) => change() } = this.#options;
    return around(() => this.changes.reload({ file: name, text, force }, origin));
  }

  #backend(pool: string, name: string) {
    const { directory } = this.machine.engine;
    return directory.backendsOf(pool).find(({ config }) => config.name === name);
  }

  /** Puts a configuration in force: see Changes. What operators asked for is there again when it is undone. */
  async #apply(next: Config): Promise<() => Promise<void>> {
    const before = this.config;
    const { directory } = this.machine.engine;
    const asked = this.availability.remember();
    const weights = directory.poolNames
      .flatMap((pool) => directory.backendsOf(pool))
      .filter(({ weight, config }) => weight !== config.weight)
      .map(({ pool, config: { name }, weight }) => ({ pool, name, weight }));
    await this.#putInForce(next);
    return async () => {
      asked();
      await this.#putInForce(before);
      this.#setWeights(weights);
    };
  }

  /** Weights that were set by hand. */
  #setWeights(weights: readonly { pool: string; name: string; weight: number }[]): void {
    const { directory } = this.machine.engine;
    try {
      directory.update(
        weights.map(({ pool, name, weight }) => ({ id: directory.backend(pool, name).id, weight })),
      );
    } catch (error) {
      this.#log.error({ weights, reason: (error as Error).message }, "weights are the configuration's again");
    }
    this.vips.update();
  }

  async #putInForce(next: Config): Promise<void> {
    const before = this.config;
    this.#refuseTunnels(next);
    this.#options.admin?.(next.admin);
    const { targets, coming } = transition(this.#targets(before), this.#targets(next));
    this.checks.apply(targets);
    try {
      await this.#firstChecks(coming);
      await this.vips.leave(next);
      await this.#toMachine(next);
      this.checks.apply(this.#targets(next));
    } catch (error) {
      await this.#putBack(before, error as Error);
      throw error;
    } finally {
      this.#refresh();
      this.vips.left();
    }
  }

  #toMachine(config: Config): Promise<unknown> {
    return this.machine.apply(config, (pool, name) => {
      const moves = this.checks.status(pool, newcomer(name)) !== undefined;
      return this.availability.stateOf(pool, name, this.#isUp(pool, moves ? newcomer(name) : name));
    });
  }

  /** After a failure. @throws GuidewayError ROLLBACK_FAILED when the machine stays with the new configuration */
  async #putBack(before: Config, failure: Error): Promise<void> {
    // The machine may have taken it over, and something after that failed.
    if (this.config !== before) {
      await this.#toMachine(before).catch((cause: Error) => {
        throw new GuidewayError("ROLLBACK_FAILED", `${failure.message}; and back: ${cause.message}`, {
          cause,
        });
      });
    }
    this.checks.apply(this.#targets(before));
    try {
      this.#options.admin?.(before.admin);
    } catch (error) {
      this.#log.error({ reason: (error as Error).message }, "the admin API keeps what was refused");
    }
  }

  /** @throws GuidewayError RESTART_NEEDED when checks are to go through tunnels and the link for them is not there */
  #refuseTunnels({ pools }: Config): void {
    const [pool] = Object.entries(pools).find(([, { health }]) => health?.via === "tunnel") ?? [];
    if (pool === undefined || this.machine.probes) return;
    throw new GuidewayError(
      "RESTART_NEEDED",
      `pools.${pool}.health.via: a machine that was started without "via: tunnel" checks cannot begin them: restart it`,
    );
  }

  /** What is checked. A backend that is not in force yet can only be checked directly. */
  #targets(config: Config): HealthTarget[] {
    const { probes } = this.machine;
    return healthTargets(config, (pool, { name }, vip) => probes?.endOf(pool, name, vip));
  }

  /** Waits until every backend was checked once, if that does not take long. */
  async #firstChecks(targets: readonly HealthTarget[]): Promise<void> {
    const unknown = () =>
      targets.some(({ pool, backend }) => this.checks.status(pool, backend)?.state === "unknown");
    const until = performance.now() + FIRST_CHECK_MS;
    while (performance.now() < until && unknown()) await sleep(STEP_MS);
  }

  // ── Health ────────────────────────────────────────────────────────────────────

  /**
   * Without a check, and before the first one has an answer that counts, a backend is up, unless it is to begin as down: also while
   * nobody can check it, because that goes through the data plane.
   */
  #isUp(pool: string, backend: string): boolean {
    const status = this.checks.status(pool, backend);
    return (status?.state ?? this.config.pools[pool]?.health?.initial) !== "down";
  }

  /** Puts in force what is known of backends. What finds no room is tried again soon. */
  #refresh(pools: readonly string[] = this.machine.engine.directory.poolNames): void {
    const { poolNames } = this.machine.engine.directory;
    try {
      this.availability.refresh([...new Set(pools)].filter((pool) => poolNames.includes(pool)));
    } catch (error) {
      this.#log.error({ err: error }, "health changes could not be put in force; tried again in a second");
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => this.#refresh(), RETRY_MS);
    }
  }
}
