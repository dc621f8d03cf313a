// Rings: how full each is. RX that fills up: workers are too slow. TX: the interface is. FILL that runs empty: too few
// frames.

import type { Engine } from "../../dataplane/engine.ts";
import type { Ring } from "../../dataplane/rings.ts";
import type { XdpPorts } from "../../io/xdp.ts";
import { gauge, type Labels, type MetricGroup } from "./metric.ts";

const LABELS = ["interface", "queue", "ring", "worker"];
const used = gauge(
  "guideway_ring_used_descriptors",
  "Descriptors in a ring; rx and tx are a worker's own, fill and completion belong to the queue",
  ...LABELS,
);
const size = gauge("guideway_ring_size_descriptors", "Descriptors that a ring has room for", ...LABELS);

export const ringMetrics: MetricGroup<{ engine: Engine; ports: Pick<XdpPorts, "interfaces"> }> = {
  families: [used, size],
  collect({ engine: { arena, wiring }, ports }, put) {
    const occupancy = ({ producer, consumer, mask }: Ring, labels: Labels) => {
      // The consumer first: the producer, read later, is never behind it.
      const from = arena.word(consumer);
      put(used, Math.min((arena.word(producer) - from) >>> 0, mask + 1), labels);
      put(size, mask + 1, labels);
    };
    // Queues are numbered through all interfaces; people and `ethtool` count from 0 in each. Those of probes are no interface's.
    const first = new Map<string, number>();
    const seen = new Set<number>();
    for (const { worker, queue, kind, interface: index, rx, tx } of wiring.ports) {
      const name = kind === "traffic" ? (ports.interfaces[index]?.name ?? `${index}`) : kind;
      if (!first.has(name)) first.set(name, queue);
      const labels = { interface: name, queue: queue - first.get(name)! };
      occupancy(rx, { ...labels, ring: "rx", worker });
      occupancy(tx, { ...labels, ring: "tx", worker });
      if (seen.has(queue)) continue;
      seen.add(queue);
      occupancy(wiring.queues[queue]!.fill, { ...labels, ring: "fill" });
      occupancy(wiring.queues[queue]!.completion, { ...labels, ring: "completion" });
    }
  },
};
