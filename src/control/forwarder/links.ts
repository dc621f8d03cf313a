// Whether the interfaces can carry traffic: that they are there and up, that they are the ones whose sockets are open, and
// that the XDP program is still attached.

import { readFileSync } from "node:fs";

export interface LinkStatus {
  name: string;
  healthy: boolean;
  /** As sysfs calls it: up, down, lowerlayerdown, unknown, …; absent when the interface is gone. */
  operstate?: string;
  reason?: string;
}

export interface LinkOptions {
  interfaces: readonly { name: string; ifindex: number }[];
  /** Whether the XDP program is where it was attached. */
  isAttached: (name: string) => boolean;
}

/** A file of an interface (Documentation/ABI/testing/sysfs-class-net); undefined when there is none, or it has nothing to say. */
function read(name: string, file: string): string | undefined {
  try {
    return readFileSync(`/sys/class/net/${name}/${file}`, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** What is wrong with an interface now. */
export function lookAtLinks({ interfaces, isAttached }: LinkOptions): LinkStatus[] {
  return interfaces.map(({ name, ifindex }) => {
    const now = read(name, "ifindex");
    if (now === undefined) return { name, healthy: false, reason: "it is gone" };
    if (Number(now) !== ifindex) {
      return {
        name,
        healthy: false,
        reason: "it was made anew: restart guideway, so that it opens its sockets on it",
      };
    }
    const operstate = read(name, "operstate") ?? "unknown";
    // Drivers that do not say whether they are up still know their carrier.
    const up = operstate === "up" || (operstate === "unknown" && read(name, "carrier") === "1");
    if (!up) return { name, healthy: false, operstate, reason: `its link is ${operstate}` };
    if (!isAttached(name)) {
      return { name, healthy: false, operstate, reason: "its XDP program is not attached any more" };
    }
    return { name, healthy: true, operstate };
  });
}
