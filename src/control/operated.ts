// A controller as its operators see it, through the admin API and in metrics: what it says of itself, and what it can be told.

import type { AnnouncerStatus } from "../announce/announcer.ts";
import type { Config } from "../config/schema.ts";
import type { FrameAudit } from "../dataplane/audit.ts";
import type { BackendState } from "../dataplane/backend-records.ts";
import type { Engine } from "../dataplane/engine.ts";
import { GuidewayError } from "../errors.ts";
import type { HealthStatus, HealthTotals } from "../health/monitor.ts";
import type { XdpPorts } from "../io/xdp.ts";
import type { ConfigurationStatus, Document, Reloaded } from "./changes.ts";
import type { Controller } from "./controller.ts";
import type { ForwarderHealth } from "./forwarder/forwarder-health.ts";
import type { AuditEntry, HistoryStatus, Origin } from "./history.ts";
import { type Overview, overviewOf } from "./overview.ts";
import type { Health, Readiness } from "./readiness.ts";
import type { TableStatus } from "./status.ts";

export class OperatedMachine {
  readonly #controller: Controller;

  constructor(controller: Controller) {
    this.#controller = controller;
  }

  // ── What it is told ────────────────────────────────────────────────────────────────────────────

  /**
   * Drains a backend, which keeps its flows and gets no new ones; takes it out, and its flows go elsewhere; or back in.
   * @param force also where no backend is left that takes new flows
   * @throws GuidewayError UNKNOWN, LAST_BACKEND or TABLE_HEAP
   */
  setBackendState(
    pool: string,
    backend: string,
    { state, force = false }: { state: BackendState; force?: boolean | undefined },
    origin: Origin,
  ): Promise<void> {
    const { changes, availability } = this.#controller;
    const action = { draining: "drain", active: "undrain", dead: "take out" }[state];
    return changes.one(origin, action, `${pool}/${backend}`, async () => {
      if (state !== "active" && !force) this.#refuseLast(pool, backend);
      const before = availability.asked(pool, backend);
      availability.ask(pool, backend, state);
      return {
        result: undefined,
        outcome: before === state ? "unchanged" : "applied",
        detail: `${this.#active(pool, backend)} active flows`,
      };
    });
  }

  /**
   * Sets a backend's weight until the configuration says another.
   * @param force also where no backend is left that takes new flows
   * @throws GuidewayError UNKNOWN, LAST_BACKEND or TABLE_HEAP
   */
  setWeight(
    pool: string,
    backend: string,
    { weight, force = false }: { weight: number; force?: boolean | undefined },
    origin: Origin,
  ): Promise<void> {
    const { changes, vips } = this.#controller;
    return changes.one(origin, "weight", `${pool}/${backend}`, async () => {
      const { directory } = this.engine;
      if (weight === 0 && !force) this.#refuseLast(pool, backend);
      const { id, weight: before } = directory.backend(pool, backend);
      directory.update([{ id, weight }]);
      vips.update();
      return {
        result: undefined,
        outcome: before === weight ? "unchanged" : "applied",
        detail: `from ${before} to ${weight}`,
      };
    });
  }

  /** @throws GuidewayError UNKNOWN; LAST_BACKEND when the pool had no backend for new flows without this one */
  #refuseLast(pool: string, backend: string): void {
    if (!this.#controller.availability.isLast(pool, backend)) return;
    const vips = this.config.vips.filter((vip) => vip.pool === pool).map(({ name }) => name);
    const served = vips.length > 0 ? `of ${vips.join(", ")} ` : "";
    throw new GuidewayError(
      "LAST_BACKEND",
      `${pool}/${backend} is the last backend of its pool that takes new flows: without it those ${served}are dropped here, and ` +
        "routers are told when no flow is left. Bring another backend back first, or do it nevertheless with --force " +
        '("force": true)',
    );
  }

  #active(pool: string, name: string): number {
    const { directory, statistics } = this.engine;
    return statistics.backend(directory.backend(pool, name).id).activeFlows;
  }

  /** @throws what Controller.reload throws */
  reload(request: Parameters<Controller["reload"]>[0], origin: Origin): Promise<Reloaded> {
    return this.#controller.reload(request, origin);
  }

  /**
   * Lets more workers or fewer forward, until the configuration says another number.
   * @throws GuidewayError CAPACITY above what the machine was started for; WORKER when one does not start
   */
  resize(workers: number, origin: Origin): Promise<void> {
    const { machine, changes } = this.#controller;
    return changes.one(origin, "workers", `${workers}`, async () => {
      const before = machine.workers;
      await machine.resize(workers);
      return {
        result: undefined,
        outcome: before === workers ? "unchanged" : "applied",
        detail: `from ${before} to ${workers}`,
      };
    });
  }

  get restarts(): number {
    return this.#controller.machine.restarts;
  }

  // ── What it says ───────────────────────────────────────────────────────────────────────────────

  get config(): Config {
    return this.#controller.config;
  }

  /** The configuration in force, as it was written. */
  get running(): Document & { generation: number } {
    const { document, status } = this.#controller.changes;
    return { ...document, generation: status.generation };
  }

  get engine(): Engine {
    return this.#controller.machine.engine;
  }

  get forwarder(): ForwarderHealth {
    return this.#controller.machine.forwarder;
  }

  get ports(): XdpPorts {
    return this.#controller.machine.ports;
  }

  get startedAt(): Date {
    return this.#controller.machine.startedAt;
  }

  announcement(): AnnouncerStatus {
    return this.#controller.announcer.status();
  }

  configuration(): ConfigurationStatus {
    return this.#controller.changes.status;
  }

  historyStatus(): HistoryStatus {
    return this.#controller.history.status();
  }

  audit(limit: number): AuditEntry[] {
    return this.#controller.history.entries(limit);
  }

  checkTotals(): HealthTotals {
    return this.#controller.checks.totals();
  }

  checkOf(pool: string, backend: string): HealthStatus | undefined {
    return this.#controller.checks.status(pool, backend);
  }

  status(): Overview {
    return overviewOf(this.#controller);
  }

  /** @throws GuidewayError UNKNOWN when there is no such pool */
  table(pool: string): TableStatus {
    return this.#controller.machine.table(pool);
  }

  auditFrames(): FrameAudit {
    return this.#controller.machine.auditFrames();
  }

  /** Whether the workers' loops turn. */
  health(): Health {
    return this.#controller.machine.health();
  }

  /** Whether packets for VIPs are forwarded. */
  readiness(): Readiness {
    const { ready, reasons } = this.#controller.machine.readiness();
    const forwarder = this.forwarder.status();
    return forwarder.healthy
      ? { ready, reasons }
      : { ready: false, reasons: [...reasons, ...forwarder.reasons] };
  }
}
