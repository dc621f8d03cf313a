// The way to a backend: by which interface its packets leave, and to which neighbour.

import type { DirectoryBackend } from "../dataplane/directory.ts";
import { GuidewayError } from "../errors.ts";
import type { Route } from "./iproute.ts";

export interface Way {
  dev: string;
  /** Number of the interface. */
  interface: number;
  /** Address of the neighbour; undefined when the configuration gives the MAC. */
  neighbour: string | undefined;
}

export interface WayOptions {
  /** Names of the interfaces, in the order of their records. */
  interfaces: readonly string[];
  /** Whether VIPs of a pool forward on layer 2: its backends must be on the link. */
  onLink: (pool: string) => boolean;
}

/** The way by a route. @throws GuidewayError NEXT_HOP when packets cannot go by it */
export function wayBy(
  { dev, gateway }: Route,
  { pool, config: { address, mac } }: DirectoryBackend,
  { interfaces, onLink }: WayOptions,
): Way {
  const index = interfaces.indexOf(dev);
  if (index < 0) {
    throw new GuidewayError(
      "NEXT_HOP",
      `the route to it leaves by ${dev}, which is not among the configured interfaces (${interfaces.join(", ")})`,
    );
  }
  if (gateway && onLink(pool) && !mac) {
    throw new GuidewayError(
      "NEXT_HOP",
      `it is behind the router ${gateway}, but forward: l2 needs it on the segment`,
    );
  }
  return { dev, interface: index, neighbour: mac ? undefined : (gateway ?? address) };
}

/** What tells one way from another, and is the name of its neighbour's entry. */
export function keyOf({ dev, neighbour }: Pick<Way, "dev" | "neighbour">): string {
  return `${dev} ${neighbour}`;
}
