// Where workers run: how many there are and why, and what of this machine stands in their way. Read from sysfs and procfs; nothing is
// changed, and what cannot be read is no hint.

import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";

/** Why there are so many workers. */
export function countReason({ workers: { count, cpus } }: Config): string {
  if (count !== "auto") return "workers.count says so";
  if (cpus) return `auto: one for each of workers.cpus (${cpus.join(", ")})`;
  return `auto: one for each CPU that this process may use (${availableParallelism()})`;
}

/**
 * What slows workers down on this machine, in words: CPUs that are not there or not free, on another NUMA node than the interface,
 * or that serve its interrupts while its worker is pinned elsewhere.
 * @param root of sysfs and procfs
 */
export function placementHints(
  { workers, interfaces }: Pick<Config, "workers" | "interfaces">,
  count: number,
  root = "/",
): string[] {
  const read = (...path: string[]): string | undefined => {
    try {
      return readFileSync(join(root, ...path), "utf8").trim();
    } catch {
      return undefined;
    }
  };
  const list = (...path: string[]): string[] => {
    try {
      return readdirSync(join(root, ...path));
    } catch {
      return [];
    }
  };
  const hints: string[] = [];
  const allowed = cpusOf(/^Cpus_allowed_list:\s*(\S+)/m.exec(read("proc/self/status") ?? "")?.[1]);
  const pinned = workers.cpus?.slice(0, count) ?? [];
  if (allowed.length > 0 && count > allowed.length)
    hints.push(
      `${count} workers share ${allowed.length} CPUs: more than one for each CPU makes none of them faster; lower workers.count`,
    );
  for (const cpu of pinned.filter((each) => allowed.length > 0 && !allowed.includes(each)))
    hints.push(
      `workers.cpus: this process may not use CPU ${cpu} (it may use ${spans(allowed)}): its worker is not pinned there`,
    );
  if (workers.busyPoll && allowed.length > 0 && count >= allowed.length)
    hints.push(
      `workers.busyPoll: ${count} workers keep all ${allowed.length} CPUs busy, and leave none to the controller`,
    );
  for (const name of interfaces) {
    const device = join("sys/class/net", name, "device");
    const node = read(device, "numa_node");
    if (node !== undefined && Number(node) >= 0) {
      const near = cpusOf(read("sys/devices/system/node", `node${node}`, "cpulist"));
      const far = pinned.filter((cpu) => near.length > 0 && !near.includes(cpu));
      if (far.length > 0)
        hints.push(
          `workers.cpus: CPUs ${far.join(", ")} are not on the NUMA node of ${name}, which is node ${node} (CPUs ${spans(near)}): ` +
            "each packet crosses the link between nodes",
        );
    }
    if (workers.busyPoll || pinned.length === 0) continue;
    const serving = list(device, "msi_irqs").flatMap((irq) =>
      cpusOf(read("proc/irq", irq, "effective_affinity_list")),
    );
    const outside = [...new Set(serving)].filter((cpu) => !pinned.includes(cpu)).sort((a, b) => a - b);
    if (outside.length > 0)
      hints.push(
        `interrupts of ${name} go to CPUs ${spans(outside)} too, where no worker is pinned: set /proc/irq/*/smp_affinity_list of its ` +
          `queues to CPUs ${spans(pinned)}, and keep irqbalance away from them`,
      );
  }
  return hints;
}

/** CPUs of a list as the kernel writes it: `0-3,8`. */
function cpusOf(list: string | undefined): number[] {
  return (list ?? "")
    .split(",")
    .filter(Boolean)
    .flatMap((span) => {
      const [first, last = first] = span.split("-").map(Number);
      return Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);
    });
}

/** The other way round. */
function spans(cpus: readonly number[]): string {
  const parts: string[] = [];
  const sorted = [...cpus].sort((a, b) => a - b);
  for (let i = 0; i < sorted.length; ) {
    let end = i;
    while (sorted[end + 1] === sorted[end]! + 1) end++;
    parts.push(end === i ? `${sorted[i]}` : `${sorted[i]}-${sorted[end]}`);
    i = end + 1;
  }
  return parts.join(",");
}
