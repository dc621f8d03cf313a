// A machine whose packets are in memory: everything that the admin API asks of one, and answers that are real.

import type { Operated } from "../../src/admin/routes.ts";
import { parseConfig } from "../../src/config/load.ts";
import type { ForwarderStatus } from "../../src/control/forwarder/forwarder-health.ts";
import type { Health, Readiness } from "../../src/control/readiness.ts";
import { type MachineStatus, statusOf, type TableStatus, tableOf } from "../../src/control/status.ts";
import { auditFrames, type FrameAudit } from "../../src/dataplane/audit.ts";
import type { BackendState } from "../../src/dataplane/backend-records.ts";
import type { Engine } from "../../src/dataplane/engine.ts";
import { GuidewayError } from "../../src/errors.ts";
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
  readonly forwarder = { status: () => FORWARDER };
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

  status(): MachineStatus {
    return statusOf(this);
  }

  auditFrames(): FrameAudit {
    return auditFrames(this.engine);
  }

  table(pool: string): TableStatus {
    if (!this.engine.directory.poolNames.includes(pool))
      throw new GuidewayError("UNKNOWN", `there is no pool ${JSON.stringify(pool)}`);
    return tableOf(this, pool);
  }

  setBackendState(pool: string, name: string, state: BackendState): void {
    const { directory } = this.engine;
    directory.setBackendState(directory.backend(pool, name).id, state);
  }

  health(): Health {
    return { healthy: this.now.healthy, reasons: this.now.reasons };
  }

  readiness(): Readiness {
    return { ready: this.now.ready, reasons: this.now.reasons };
  }
}
