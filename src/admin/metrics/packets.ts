// What became of packets, and what each VIP got of them.

import type { Engine } from "../../dataplane/engine.ts";
import { reasons, verdictOf, vipReasons } from "../../dataplane/reasons.ts";
import { counter, type MetricGroup } from "./metric.ts";

const packets = counter(
  "guideway_packets_total",
  "Packets that reached the engine, by what became of them (docs/verdicts.md); each has one reason",
  "verdict",
  "reason",
);
const vipPackets = counter("guideway_vip_packets_total", "Packets forwarded for a VIP", "vip");
const vipBytes = counter(
  "guideway_vip_bytes_total",
  "Bytes of those, as IP packets before any tunnel header",
  "vip",
);
const vipOutcomes = counter(
  "guideway_vip_outcomes_total",
  "Packets to a VIP by what became of them, hits apart (docs/verdicts.md)",
  "vip",
  "reason",
);

export const packetMetrics: MetricGroup<{ engine: Engine }> = {
  families: [packets, vipPackets, vipBytes, vipOutcomes],
  collect({ engine: { directory, statistics } }, put) {
    const counts = statistics.reasons();
    for (const [code, reason] of reasons)
      put(packets, counts[reason] ?? 0, { verdict: verdictOf(code), reason });
    for (const [index, { name: vip }] of directory.vips.entries()) {
      const number = directory.vipNumbers[index]!;
      const traffic = statistics.vip(number);
      put(vipPackets, traffic.packets, { vip });
      put(vipBytes, traffic.bytes, { vip });
      const byReason = statistics.vipReasons(number);
      for (const reason of vipReasons.values()) put(vipOutcomes, byReason[reason] ?? 0, { vip, reason });
    }
  },
};
