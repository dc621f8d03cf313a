// A machine whose packets are in memory: everything that the admin API asks of one, and answers that are real.

import type { Operated } from "../../src/admin/routes.ts";
import type { AnnouncerStatus } from "../../src/announce/announcer.ts";
import { parseConfig } from "../../src/config/load.ts";
import type { ConfigurationStatus, Reloaded } from "../../src/control/changes.ts";
import type { ForwarderStatus } from "../../src/control/forwarder/forwarder-health.ts";
import type { AuditEntry, HistoryStatus, Origin } from "../../src/control/history.ts";
import type { Overview } from "../../src/control/overview.ts";
import type { Health, Readiness } from "../../src/control/readiness.ts";
import { statusOf, type TableStatus, tableOf } from "../../src/control/status.ts";
import { auditFrames, type FrameAudit } from "../../src/dataplane/audit.ts";
import type { BackendState } from "../../src/dataplane/backend-records.ts";
import type { Engine } from "../../src/dataplane/engine.ts";
import { GuidewayError } from "../../src/errors.ts";
import type { HealthStatus, HealthTotals } from "../../src/health/monitor.ts";
import { OfflineEngine } from "../../src/io/offline.ts";
import type { XdpInterface } from "../../src/io/xdp.ts";
import type { SocketStatistics } from "../../src/native.ts";

export const CONFIG = `
machine: { name: lb-1 }
conntrack: { flows: 1000 }
pools:
  web:
    tableSize: 251
    backends:
      - { name: web-1, address: 10.0.0.21 }
      - { name: web-2, address: 10.0.0.22, weight: 3 }
  spare: { tableSize: 251, backends: [] }
vips:
  - { name: web, address: 10.99.0.1, port: 80, pool: web }
  - { name: dns, address: 10.99.0.2, protocol: udp, port: 53, pool: web }
`;

/** What the kernel would have counted. */
export const KERNEL: SocketStatistics = {
  rxDropped: 1,
  rxInvalidDescriptors: 2,
  txInvalidDescriptors: 3,
  rxRingFull: 4,
  rxFillRingEmpty: 5,
  txRingEmpty: 6,
};

/** What a machine's tests of itself would have said. */
export const FORWARDER: ForwarderStatus = {
  healthy: false,
  since: "2026-11-24T12:00:00.000Z",
  reasons: ["worker 1: its loop has stood still for 500 ms"],
  degraded: ["eth0: 100 packets found an RX ring full, in 1000 ms"],
  workers: [
    { worker: 0, healthy: true, lastProbeUs: 1250, probes: 20, failures: 0 },
    { worker: 1, healthy: false, probes: 3, failures: 2, reason: "its loop has stood still for 500 ms" },
  ],
  interfaces: [{ name: "eth0", healthy: true, operstate: "up" }],
  tables: { verified: 1000, rounds: 2, corrupted: 1, repaired: 1 },
};

const START = new Date(0).toISOString();

/** What a check found. */
export const CHECKED: HealthStatus = {
  state: "up",
  since: 0,
  reason: "",
  flapping: false,
  checks: 1,
  failures: 0,
  inconclusive: 0,
  lastLatencyMs: 1.5,
  lastCheckAt: 0,
};

export class MemoryMachine implements Operated {
  readonly config;
  running: { text: string; file: string; generation: number };
  readonly startedAt = new Date(0);
  readonly offline: OfflineEngine;
  readonly ports: { interfaces: XdpInterface[]; statistics: () => SocketStatistics };
  readonly neighbours = {
    nextHop: (id: number) => ({
      dev: "eth0",
      address: "10.0.0.1",
      mac: id === 1 ? "02:00:00:00:00:21" : undefined,
    }),
  };
  readonly forwarder = { status: () => this.forwarderStatus };
  readonly entries: AuditEntry[] = [];
  /** What operators asked for, by pool/name. */
  readonly asked = new Map<string, BackendState>();
  /** What checks found, by name of the backend. */
  readonly checked = new Map<string, HealthStatus>();
  /** Flows that a backend has at each look, by its name; the last one stays. */
  readonly flows = new Map<string, number[]>();
  forwarderStatus = FORWARDER;
  /** Whether no backend takes new flows, and some have flows still. */
  draining = false;
  readonly restarts = 3;
  /** Name of a backend that takes new flows as the only one of its pool. */
  last: string | undefined;
  refused: ConfigurationStatus["refused"];
  announcing: AnnouncerStatus = {
    kind: "gobgp",
    connected: true,
    error: undefined,
    announced: [{ prefix: "10.99.0.1/32", since: START }],
    wanted: ["10.99.0.1/32", "10.99.0.2/32"],
    peers: [{ address: "10.0.0.1", asn: 65000, state: "established", uptimeSeconds: 3 }],
    changes: { announced: 1, withdrawn: 0, failed: 2 },
  };
  now: Health & Readiness = { healthy: true, ready: true, reasons: [] };

  constructor(text = CONFIG, workers = 1) {
    this.config = parseConfig(text, "c.yaml").config;
    this.running = { text, file: "c.yaml", generation: 1 };
    this.offline = new OfflineEngine(this.config, { workers, inline: true });
    const facts = { ifindex: 2, mac: "02:bb:00:00:00:01", mtu: 1500, queues: 1 };
    this.ports = {
      interfaces: [{ name: "eth0", ...facts, sockets: "copy", program: "native" }],
      statistics: () => KERNEL,
    };
  }

  get engine(): Engine {
    return this.offline.engine;
  }

  configuration(): ConfigurationStatus {
    return { file: "c.yaml", generation: 1, appliedAt: START, refused: this.refused };
  }

  historyStatus(): HistoryStatus {
    return {
      audit: { file: "audit.jsonl", writtenAt: START, error: undefined, pending: 0, lost: 0 },
      lastGood: { file: "last-good.yaml", writtenAt: undefined, error: "ENOSPC: no space left on device" },
    };
  }

  announcement(): AnnouncerStatus {
    return this.announcing;
  }

  checkOf(pool: string): HealthStatus | undefined {
    return pool === "web" ? CHECKED : undefined;
  }

  checkTotals(): HealthTotals {
    return {
      backends: { up: 2, down: 0, unknown: 0, flapping: 0 },
      probes: 2,
      passed: 5,
      failed: 3,
      inconclusive: 1,
      missed: 0,
      running: 1,
      waiting: 0,
      cpuUserUs: 1_500_000,
      cpuSystemUs: 500_000,
      restarts: 0,
      bucketsMs: [1],
      lateness: [2],
      latency: [2],
      worstLatenessMs: 1,
    };
  }

  status(): Overview {
    const status = statusOf(this);
    return {
      ...status,
      configuration: this.configuration(),
      history: this.historyStatus(),
      announcement: this.announcement(),
      vips: status.vips.map((vip) => ({
        ...vip,
        usable: !this.draining,
        draining: this.draining,
        announced: vip.name === "web",
      })),
      pools: status.pools.map((pool) => ({
        ...pool,
        usable: !this.draining,
        draining: this.draining,
        open: false,
        backends: pool.backends.map((backend) => ({
          ...backend,
          activeFlows: this.#flowsOf(backend.name) ?? backend.activeFlows,
          asked: this.asked.get(`${pool.name}/${backend.name}`) ?? "active",
          health: this.checked.get(backend.name) ?? CHECKED,
        })),
      })),
    };
  }

  #flowsOf(name: string): number | undefined {
    const flows = this.flows.get(name);
    return flows && flows.length > 1 ? flows.shift() : flows?.[0];
  }

  auditFrames(): FrameAudit {
    return auditFrames(this.engine);
  }

  table(pool: string): TableStatus {
    if (!this.engine.directory.poolNames.includes(pool))
      throw new GuidewayError("UNKNOWN", `there is no pool ${JSON.stringify(pool)}`);
    return tableOf(this, pool);
  }

  async setBackendState(
    pool: string,
    name: string,
    { state, force = false }: { state: BackendState; force?: boolean | undefined },
    origin: Origin,
  ): Promise<void> {
    if (state !== "active") this.#refuseLast(name, force);
    const { directory } = this.engine;
    directory.setBackendState(directory.backend(pool, name).id, state);
    this.asked.set(`${pool}/${name}`, state);
    this.#note(origin, state, `${pool}/${name}`);
  }

  async resize(workers: number, origin: Origin): Promise<void> {
    const { owners, workers: capacity } = this.engine;
    if (workers > capacity) throw new GuidewayError("CAPACITY", `started for 1 to ${capacity}`);
    this.#note(origin, "workers", `${workers}`);
    await owners.deal(workers);
  }

  async setWeight(
    pool: string,
    name: string,
    { weight, force = false }: { weight: number; force?: boolean | undefined },
    origin: Origin,
  ): Promise<void> {
    if (weight === 0) this.#refuseLast(name, force);
    const { directory } = this.engine;
    directory.update([{ id: directory.backend(pool, name).id, weight }]);
    this.#note(origin, `weight ${weight}`, `${pool}/${name}`);
  }

  async reload(request: Parameters<Operated["reload"]>[0], origin: Origin): Promise<Reloaded> {
    if (request.text !== undefined) parseConfig(request.text, request.file ?? "c.yaml");
    this.#note(origin, "reload", request.file ?? "c.yaml");
    return {
      outcome: "applied",
      generation: 2,
      warnings: [],
      vips: [{ name: "web", change: "changed", slotsMoved: 0.5 }],
    };
  }

  #refuseLast(name: string, force: boolean): void {
    if (name === this.last && !force) throw new GuidewayError("LAST_BACKEND", `${name} is the last backend`);
  }

  #note(origin: Origin, action: string, target: string): void {
    this.entries.push({ ...origin, at: START, action, target, outcome: "applied", detail: "" });
  }

  audit(limit: number): AuditEntry[] {
    return this.entries.slice(-limit);
  }

  health(): Health {
    return { healthy: this.now.healthy, reasons: this.now.reasons };
  }

  readiness(): Readiness {
    return { ready: this.now.ready, reasons: this.now.reasons };
  }
}
