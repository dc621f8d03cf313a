// What a machine says of itself: the body of GET /v1/status.

import type { Ports } from "../config/ports.ts";
import type { FrameAudit } from "../dataplane/audit.ts";
import type { BackendState } from "../dataplane/backend-records.ts";
import type { DirectoryBackend } from "../dataplane/directory.ts";
import type { KeptFlowsStatus } from "../dataplane/persistence/kept-flows.ts";
import type { BackendTraffic, Statistics, Traffic, WorkerStatistics } from "../dataplane/statistics.ts";
import type { SocketStatistics } from "../native.ts";
import type { ForwarderStatus } from "./forwarder/forwarder-health.ts";
import type { Machine } from "./machine.ts";

export interface BackendStatus extends BackendTraffic {
  name: string;
  id: number;
  address: string;
  state: BackendState;
  weight: number;
  /** Part of the pool's slots, 0 … 1. */
  share: number;
  nextHop: { dev: string; address: string | undefined; mac: string | undefined } | undefined;
}

export interface PoolStatus {
  name: string;
  algorithm: string;
  tableSize: number;
  /** Equal on machines with equal tables. */
  digest: string;
  backends: BackendStatus[];
}

export interface VipStatus extends Traffic {
  name: string;
  /** Or prefix. */
  address: string;
  protocol: string;
  ports: Ports[];
  forward: string;
  pool: string;
  /** Packets to it by what became of them, other than hits (docs/verdicts.md). */
  reasons: Record<string, number>;
}

export interface InterfaceStatus {
  name: string;
  queues: number;
  mtu: number;
  mac: string;
  sockets: string;
  program: string | undefined;
  kernel: SocketStatistics;
}

export interface MachineStatus {
  machine: string;
  pid: number;
  startedAt: string;
  uptimeSeconds: number;
  arenaBytes: number;
  epoch: number;
  forwarder: ForwarderStatus;
  interfaces: InterfaceStatus[];
  /** Those that run. */
  workers: (WorkerStatistics & { nsPerPacket: number })[];
  /** Most workers that there may be without a restart, and threads that have died and were replaced. */
  workerCapacity: number;
  workerRestarts: number;
  /** Packets by reason (docs/verdicts.md). */
  reasons: Record<string, number>;
  vips: VipStatus[];
  pools: PoolStatus[];
  frames: Pick<FrameAudit, "total" | "places">;
  /** Connections that outlive the process; undefined without `conntrack.persist`. */
  persistence: KeptFlowsStatus | undefined;
}

/** What a machine is asked for it. */
export type Observed = Pick<Machine, "config" | "startedAt" | "engine" | "restarts" | "auditFrames"> & {
  kept?: Pick<NonNullable<Machine["kept"]>, "status"> | undefined;
  ports: Pick<Machine["ports"], "interfaces" | "statistics">;
  neighbours: Pick<Machine["neighbours"], "nextHop">;
  forwarder: Pick<Machine["forwarder"], "status">;
};

export function statusOf(machine: Observed): MachineStatus {
  const { engine, config, startedAt, ports } = machine;
  const { arena, directory, publication, statistics } = engine;
  const { total, places } = machine.auditFrames();
  return {
    machine: config.machine.name,
    pid: process.pid,
    startedAt: startedAt.toISOString(),
    uptimeSeconds: (Date.now() - startedAt.getTime()) / 1000,
    arenaBytes: arena.plan.bytes,
    epoch: publication.epoch,
    forwarder: machine.forwarder.status(),
    interfaces: ports.interfaces.map(({ name, queues, mtu, mac, sockets, program }, index) => ({
      name,
      queues,
      mtu,
      mac,
      sockets,
      program,
      kernel: ports.statistics(index),
    })),
    workers: statistics
      .workers()
      .slice(0, engine.owners.running)
      .map((worker) => ({
        ...worker,
        nsPerPacket: worker.packets === 0 ? 0 : worker.busyNs / worker.packets,
      })),
    workerCapacity: engine.workers,
    workerRestarts: machine.restarts,
    reasons: statistics.reasons(),
    vips: directory.vips.map(({ name, address, protocol, port, forward, pool }, index) => ({
      name,
      address,
      protocol,
      ports: port,
      forward,
      pool,
      ...statistics.vip(directory.vipNumbers[index]!),
      reasons: statistics.vipReasons(directory.vipNumbers[index]!),
    })),
    pools: directory.poolNames.map((name) => poolStatus(machine, name, statistics)),
    frames: { total, places },
    persistence: machine.kept?.status(),
  };
}

/** One line on what the machine does, for whoever looks at the service. */
export function summaryOf({ engine, ports }: Machine): string {
  const { vips, backends } = engine.directory;
  const all = backends.filter(Boolean);
  const active = all.filter(({ state }) => state === "active").length;
  const names = ports.interfaces.map(({ name }) => name).join(", ");
  return `serving ${vips.length} VIP${vips.length === 1 ? "" : "s"} on ${names}, ${active} of ${all.length} backends active`;
}

/** A pool's published table: GET /v1/pools/:pool/table. */
export interface TableStatus {
  pool: string;
  size: number;
  digest: string;
  /** Names of the backends in slot order. */
  entries: string[];
}

export function tableOf(machine: Observed, pool: string): TableStatus {
  const table = machine.engine.directory.table(pool);
  return { pool, size: table.size, digest: table.digest, entries: table.entries() };
}

function poolStatus(machine: Observed, name: string, statistics: Statistics): PoolStatus {
  const { directory } = machine.engine;
  const table = directory.table(name);
  const backend = ({ id, config, state, weight }: DirectoryBackend): BackendStatus => ({
    name: config.name,
    id,
    address: config.address,
    state,
    weight,
    share: table.share(id),
    nextHop: machine.neighbours.nextHop(id),
    ...statistics.backend(id),
  });
  const { algorithm, tableSize } = directory.pool(name);
  return {
    name,
    algorithm,
    tableSize,
    digest: table.digest,
    backends: directory.backendsOf(name).map(backend),
  };
}
