// Interfaces: what the kernel counted on the sockets of each (struct xdp_statistics, linux/if_xdp.h), and whether the
// program is there.

import type { XdpPorts } from "../../io/xdp.ts";
import type { SocketStatistics } from "../../native.ts";
import { counter, type Family, gauge, type MetricGroup } from "./metric.ts";

const of = (name: string, help: string) => counter(`guideway_interface_${name}_total`, help, "interface");

const KERNEL: readonly [keyof SocketStatistics, Family][] = [
  [
    "rxDropped",
    of("rx_dropped_packets", "Packets that the kernel dropped for other reasons than a full ring"),
  ],
  ["rxRingFull", of("rx_ring_full_packets", "Packets that found an RX ring full: workers are too slow")],
  ["rxFillRingEmpty", of("rx_fill_ring_empty", "Times that the kernel found no frame to receive into")],
  [
    "rxInvalidDescriptors",
    of("rx_invalid_descriptors", "Descriptors in FILL rings that the kernel refused: a defect"),
  ],
  [
    "txInvalidDescriptors",
    of("tx_invalid_descriptors", "Descriptors in TX rings that the kernel refused: a defect"),
  ],
  ["txRingEmpty", of("tx_ring_empty", "Times that the kernel wanted to send and found nothing")],
];
const attached = gauge(
  "guideway_interface_attached",
  "1 while the XDP program is attached: packets of VIPs reach the workers",
  "interface",
);

export const interfaceMetrics: MetricGroup<{ ports: Pick<XdpPorts, "interfaces" | "statistics"> }> = {
  families: [...KERNEL.map(([, family]) => family), attached],
  collect({ ports }, put) {
    for (const [index, { name, program }] of ports.interfaces.entries()) {
      const statistics = ports.statistics(index);
      for (const [key, family] of KERNEL) put(family, statistics[key], { interface: name });
      put(attached, program === undefined ? 0 : 1, { interface: name });
    }
  },
};
