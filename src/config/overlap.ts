// Each (address or prefix, protocol, port) belongs to one VIP, as far as the more specific does not win anyway
// (docs/datapath.md §1), and the numbers of services suffice.

import { MAX_SERVICES } from "../../assembly/layout.ts";
import { breadth, type PortRange, type Ports, portRange, portsText, singlePorts } from "./ports.ts";

/** The parts that matter here, of a configuration that may be incomplete. */
interface Vip {
  address?: string | undefined;
  protocol?: "tcp" | "udp" | "any" | undefined;
  port?: (Ports | undefined)[] | undefined;
  forward?: string | undefined;
}

type Report = (path: (string | number)[], message: string) => void;

/** Ports that a VIP has taken. */
interface Taken extends PortRange {
  vip: number;
  ports: Ports;
}

/** Disjoint ranges in order of their first port. */
class Ranges {
  readonly #taken: Taken[] = [];

  /** Takes ports unless some of them are taken. @returns what has them already */
  take(ports: Ports, vip: number): Taken | undefined {
    const { first, last } = portRange(ports);
    let at = 0;
    for (let end = this.#taken.length; at < end; ) {
      const middle = (at + end) >>> 1;
      if (this.#taken[middle]!.last < first) at = middle + 1;
      else end = middle;
    }
    const next = this.#taken[at];
    if (next && next.first <= last) return next;
    this.#taken.splice(at, 0, { first, last, vip, ports });
    return undefined;
  }
}

export function checkServices(vips: readonly (Vip | undefined)[], report: Report): void {
  /** What VIPs have of one address, protocol and breadth: a port beside a range that contains it is no overlap. */
  const taken = new Map<string, Ranges>();
  const numbers = new Set<string>();
  let full = false;
  for (const [index, vip] of vips.entries()) {
    if (vip?.address === undefined) continue;
    numbers.add(vip.address);
    const protocols = vip.protocol === "any" ? ["tcp", "udp"] : vip.protocol ? [vip.protocol] : [];
    const own = new Ranges();
    for (const [at, ports] of (vip.port ?? []).entries()) {
      if (ports === undefined) continue;
      const path = ["vips", index, "port", at];
      const twice = own.take(ports, index);
      if (twice) {
        report(path, overlapInList(`${vip.address} ${protocols[0] ?? "tcp"}`, ports, twice.ports));
        continue;
      }
      for (const protocol of protocols) {
        const service = `${vip.address} ${protocol}`;
        // A range of `nat` is so many single ports (expandServices).
        const single = vip.forward === "nat" && ports !== 0;
        const key: string = `${service} ${single ? 0 : breadth(ports)}`;
        const ranges: Ranges = taken.get(key) ?? new Ranges();
        taken.set(key, ranges);
        if (single && !full) for (const port of singlePorts(ports)) numbers.add(`${service} ${port}`);
        else numbers.add(`${service} ${ports}`);
        const other = ranges.take(ports, index);
        if (!other) continue;
        report(path, overlapOfVips(service, ports, other));
        break;
      }
    }
    if (!full && numbers.size > MAX_SERVICES) {
      full = true;
      report(
        ["vips", index, "port"],
        `there are more than ${MAX_SERVICES} services from here on, expected at most ${MAX_SERVICES}: ` +
          "one for each address, and one for each port or range and protocol of each VIP",
      );
    }
  }
}

function named(ports: Ports): string {
  if (ports === 0) return "port 0 (every port)";
  return `${breadth(ports) === 0 ? "port" : "ports"} ${portsText(ports)}`;
}

function overlapInList(service: string, ports: Ports, other: Ports): string {
  if (ports === other) return `${service} ${named(ports)} is listed twice, expected each service once`;
  return `${named(ports)} and ${named(other)} of the same list overlap, expected each port once`;
}

function overlapOfVips(service: string, ports: Ports, { vip, ports: theirs }: Taken): string {
  if (ports === theirs)
    return `${service} ${named(ports)} is already a service of vips[${vip}], expected each service once`;
  return `${service} ${named(ports)} overlap ${named(theirs)} of vips[${vip}], expected ranges that do not`;
}
