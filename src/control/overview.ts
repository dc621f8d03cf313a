// What the controller adds to its machine's status: GET /v1/status is all of it.

import type { AnnouncerStatus } from "../announce/announcer.ts";
import { announcementOf } from "../announce/announcer.ts";
import type { BackendState } from "../dataplane/backend-records.ts";
import type { HealthStatus } from "../health/monitor.ts";
import type { ConfigurationStatus } from "./changes.ts";
import type { Controller } from "./controller.ts";
import type { HistoryStatus } from "./history.ts";
import type { BackendStatus, MachineStatus, PoolStatus, VipStatus } from "./status.ts";

export interface CheckedBackend extends BackendStatus {
  /** What operators asked for. */
  asked: BackendState;
  /** What the checks found; absent where the pool has none. */
  health: HealthStatus | undefined;
}

export interface CheckedPool extends PoolStatus {
  /** Whether a backend takes new flows. */
  usable: boolean;
  /** Whether none does, and some have flows still. */
  draining: boolean;
  /** Whether all are down and get packets nevertheless: whenEmpty: open. */
  open: boolean;
  backends: CheckedBackend[];
}

export interface AnnouncedVip extends VipStatus {
  /** Whether its pool has a backend that takes new flows. */
  usable: boolean;
  /** Whether none does, and some have flows still. */
  draining: boolean;
  /** Whether routers were told that its packets come here. */
  announced: boolean;
}

export interface Overview extends MachineStatus {
  configuration: ConfigurationStatus;
  history: HistoryStatus;
  announcement: AnnouncerStatus;
  vips: AnnouncedVip[];
  pools: CheckedPool[];
}

export function overviewOf(controller: Controller): Overview {
  const { machine, availability, changes, history, checks, announcer } = controller;
  const status = machine.status();
  const announcement = announcer.status();
  const announced = new Set(announcement.announced.map(({ prefix }) => prefix));
  return {
    ...status,
    configuration: changes.status,
    history: history.status(),
    announcement,
    vips: status.vips.map((vip) => ({
      ...vip,
      usable: availability.isUsable(vip.pool),
      draining: availability.isDraining(vip.pool),
      announced: announced.has(announcementOf(vip.address).prefix),
    })),
    pools: status.pools.map((pool) => ({
      ...pool,
      usable: availability.isUsable(pool.name),
      draining: availability.isDraining(pool.name),
      open: availability.isOpen(pool.name),
      backends: pool.backends.map((backend) => ({
        ...backend,
        asked: availability.asked(pool.name, backend.name),
        health: checks.status(pool.name, backend.name),
      })),
    })),
  };
}
