/** The kernel routes of a lab's router, watched as they change: by netlink (`ip monitor route`), not by looking again. */
import { once } from "node:events";
import { isIP } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { LabError } from "./errors.ts";
import type { Lab } from "./lab.ts";
import { familyOf, vipPrefix } from "./topology.ts";

const READY_MS = 5000;
/** How much later the monitor's line may be here than the answer to a question. */
const TELL_MS = 50;
/** Of TEST-NET-1 (RFC 5737): nobody's. */
const PROBE = "192.0.2.255/32";

interface IpRoute {
  gateway?: string;
  nexthops?: { gateway: string }[];
}

export interface RouteWatch {
  /** Next hops of a prefix now, sorted; none when there is no route. */
  hops(prefix: string): Promise<string[]>;
  /**
   * Resolves when the router sends a prefix to exactly these nodes; none: when it has no route. With the time, by
   * performance.now(), at which the kernel told of the change that made it so, or of this call if it was so already.
   * Throws LAB_COMMAND when it does not come true in time.
   */
  until(prefix: string, nodes: string[], limitMs?: number): Promise<number>;
  stop(): Promise<void>;
}

/** Starts to watch; what changes from the return on is seen. */
export async function watchRoutes(lab: Lab): Promise<RouteWatch> {
  const child = lab.spawn("router", ["ip", "-o", "monitor", "route"]);
  const ended = once(child, "exit");
  const waiting = new Set<() => void>();
  /** When the last change of each prefix was told. */
  const changedMs = new Map<string, number>();
  createInterface({ input: child.stdout! }).on("line", (line) => {
    // `10.99.0.1 via …`, `Deleted fd99::1 …`, `unreachable 192.0.2.0/24 …`
    const prefix = line.split(/\s+/).find((word) => isIP(word.replace(/\/\d+$/, "")) !== 0);
    if (prefix === undefined) return;
    changedMs.set(vipPrefix(prefix), performance.now());
    for (const notify of waiting) notify();
    waiting.clear();
  });
  const watch: RouteWatch = {
    async hops(prefix) {
      const family = familyOf(prefix) === "v4" ? "-4" : "-6";
      const { stdout } = await lab.exec("router", ["ip", family, "-json", "route", "show", "exact", prefix]);
      const routes = JSON.parse(stdout || "[]") as IpRoute[];
      return routes
        .flatMap(({ gateway, nexthops = [] }) => [gateway, ...nexthops.map((hop) => hop.gateway)])
        .filter((hop) => hop !== undefined)
        .sort();
    },
    async until(prefix, nodes, limitMs = 15_000) {
      const wanted = nodes.map((node) => lab.address(node, familyOf(prefix))).sort();
      let late: NodeJS.Timeout | undefined;
      const limit = new Promise<"late">((resolve) => {
        late = setTimeout(resolve, limitMs, "late");
      });
      const askedMs = performance.now();
      const toldMs = () => Math.max(askedMs, changedMs.get(prefix) ?? 0);
      try {
        for (;;) {
          const change = new Promise<void>((resolve) => waiting.add(resolve));
          const hops = await watch.hops(prefix);
          if (hops.join() === wanted.join()) {
            // The kernel may have told already, and the monitor not yet.
            if (toldMs() === askedMs) await Promise.race([change, sleep(TELL_MS)]);
            return toldMs();
          }
          if ((await Promise.race([change, limit])) !== "late") continue;
          throw new LabError(
            "LAB_COMMAND",
            `within ${limitMs} ms the router did not send ${prefix} to ${wanted.join(", ") || "nobody"}, but to ${hops.join(", ") || "nobody"}`,
          );
        }
      } finally {
        clearTimeout(late);
      }
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await ended;
    },
  };
  await listening(lab, () => changedMs.has(PROBE));
  return watch;
}

/** A route that comes and goes until the monitor tells of it: then it tells of everything. */
async function listening(lab: Lab, told: () => boolean): Promise<void> {
  const beganMs = performance.now();
  while (!told()) {
    if (performance.now() - beganMs > READY_MS)
      throw new LabError("LAB_COMMAND", "ip monitor route tells nothing");
    for (const action of ["add", "del"])
      await lab.exec("router", ["ip", "route", action, "unreachable", PROBE]);
  }
}
