// Services and their numbers: docs/datapath.md §1. A service is one (address or prefix, protocol, port or ports) of a VIP.

import { familyOf } from "./bytes.ts";
import { PrefixMap } from "./prefix-map.ts";
import type { Ports, VipSetup } from "./setup.ts";

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const ICMPV6 = 58;

export interface Service {
  number: number;
  vip: VipSetup;
  /** Whether the flow key has the destination folded in. */
  wide: boolean;
}

interface Entry extends Service {
  protocol: number;
  first: number;
  last: number;
  /** A port, a range, every port. */
  breadth: 0 | 1 | 2;
}

function readPorts(ports: Ports): Pick<Entry, "first" | "last" | "breadth"> {
  if (ports === 0) return { first: 0, last: 65535, breadth: 2 };
  if (typeof ports === "number") return { first: ports, last: ports, breadth: 0 };
  const [first, last] = ports.split("-").map(Number) as [number, number];
  return { first, last, breadth: 1 };
}

/** The ports of a range, one by one. */
export function eachPort(ports: Ports): number[] {
  const { first, last } = readPorts(ports);
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

export class Services {
  readonly #byPrefix: PrefixMap<Entry[]>;

  /** Numbers from 1: per VIP its address service unless the address has one, then tcp before udp, ports in order. */
  constructor(vips: VipSetup[]) {
    const prefixes = new Map<string, Entry[]>();
    const wideNumbers = new Map<string, number>();
    let last = 0;
    for (const vip of vips) {
      const { address } = vip;
      const entries = prefixes.get(address) ?? [];
      prefixes.set(address, entries);
      if (entries.length === 0) {
        const protocol = familyOf(address) === 4 ? ICMP : ICMPV6;
        entries.push({ number: ++last, vip, wide: false, protocol, first: 0, last: 0, breadth: 0 });
      }
      for (const [name, protocol] of [
        ["tcp", TCP],
        ["udp", UDP],
      ] as const) {
        if (!vip.protocols.includes(name)) continue;
        // A range of a VIP with nat is so many ports.
        const ports = vip.forward === "nat" ? vip.ports.flatMap(eachPort) : vip.ports;
        for (const port of ports) {
          const range = readPorts(port);
          const wide = address.includes("/") || range.breadth > 0;
          const shared = wide ? wideNumbers.get(`${address} ${name}`) : undefined;
          const number = shared ?? ++last;
          if (wide) wideNumbers.set(`${address} ${name}`, number);
          entries.push({ number, vip, wide, protocol, ...range });
        }
      }
    }
    this.#byPrefix = new PrefixMap(prefixes);
  }

  /** The longest prefix decides, then the narrowest ports. */
  find(address: Uint8Array, protocol: number, port: number): Service | undefined {
    for (const entries of this.#byPrefix.all(address)) {
      const fitting = entries.filter(
        (each) => each.protocol === protocol && each.first <= port && port <= each.last,
      );
      if (fitting.length > 0) return fitting.sort((a, b) => a.breadth - b.breadth)[0];
    }
    return undefined;
  }

  /** The address service of a destination: what ICMP and the address rule ask for. */
  ofAddress(address: Uint8Array): Service | undefined {
    return this.find(address, address.length === 4 ? ICMP : ICMPV6, 0);
  }
}
