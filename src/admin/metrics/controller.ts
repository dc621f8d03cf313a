// The controller: what is announced, and which configuration is in force.

import type { AnnouncerStatus } from "../../announce/announcer.ts";
import type { ConfigurationStatus } from "../../control/changes.ts";
import type { HistoryStatus } from "../../control/history.ts";
import { counter, gauge, type MetricGroup } from "./metric.ts";

const wanted = gauge(
  "guideway_announcement_wanted",
  "1 for each prefix that should be announced now",
  "prefix",
);
const announced = gauge("guideway_announcement_announced", "1 for each prefix that is announced", "prefix");
const connected = gauge(
  "guideway_announcer_connected",
  "Whether the BGP speaker can be reached; commands always can",
);
const changes = counter(
  "guideway_announcer_changes_total",
  "Announcements and withdrawals by what came of them",
  "change",
);
const peers = gauge(
  "guideway_bgp_peer_established",
  "Whether the speaker's session with a peer is established",
  "peer",
);
const generation = gauge(
  "guideway_configuration_generation",
  "Configurations that were in force since the start of the process",
);
const applied = gauge(
  "guideway_configuration_applied_timestamp_seconds",
  "When the configuration in force was applied",
);
const refused = gauge("guideway_configuration_refused", "Whether the last reload was refused");
const files = gauge(
  "guideway_state_file_failed",
  "Whether the audit log or the last good configuration could not be written",
  "file",
);

export interface Controlled {
  announcement(): AnnouncerStatus;
  configuration(): ConfigurationStatus;
  historyStatus(): HistoryStatus;
}

export const controllerMetrics: MetricGroup<Controlled> = {
  families: [wanted, announced, connected, changes, peers, generation, applied, refused, files],
  collect(source, put) {
    const announcement = source.announcement();
    for (const prefix of announcement.wanted) put(wanted, 1, { prefix });
    for (const { prefix } of announcement.announced) put(announced, 1, { prefix });
    put(connected, announcement.connected ? 1 : 0);
    for (const change of ["announced", "withdrawn", "failed"] as const)
      put(changes, announcement.changes[change], { change });
    for (const { address, state } of announcement.peers)
      put(peers, state === "established" ? 1 : 0, { peer: address });
    const configuration = source.configuration();
    put(generation, configuration.generation);
    put(applied, Date.parse(configuration.appliedAt) / 1000);
    put(refused, configuration.refused ? 1 : 0);
    const { audit, lastGood } = source.historyStatus();
    put(files, audit.error === undefined ? 0 : 1, { file: "audit" });
    put(files, lastGood.error === undefined ? 0 : 1, { file: "last-good" });
  },
};
