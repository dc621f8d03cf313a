// What became of packets, and what each VIP got of them.

import type { Engine } from "../../dataplane/engine.ts";
import { reasons, verdictOf } from "../../dataplane/reasons.ts";
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

export const packetMetrics: MetricGroup<{ engine: Engine }> = {
  families: [packets, vipPackets, vipBytes],
  collect({ engine: { directory, statistics } }, put) {
    const counts = statistics.reasons();
    for (const [code, reason] of reasons)
      put(packets, counts[reason] ?? 0, { verdict: verdictOf(code), reason });
    for (const [index, { name: vip }] of directory.vips.entries()) {
      const traffic = statistics.vip(directory.vipNumbers[index]!);
      put(vipPackets, traffic.packets, { vip });
      put(vipBytes, traffic.bytes, { vip });
    }
  },
};
