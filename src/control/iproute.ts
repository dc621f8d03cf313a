// The kernel's routes and neighbours, through iproute2: it speaks JSON and knows every kernel's netlink.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { GuidewayError } from "../errors.ts";

const run = promisify(execFile);
const TIMEOUT_MS = 5000;
/** Neighbour tables can be long: some 80 bytes an entry. */
const MAX_OUTPUT_BYTES = 64 << 20;

export interface Route {
  dev: string;
  /** Router on the way; undefined when the destination is on the link. */
  gateway: string | undefined;
}

export interface Neighbour {
  address: string;
  /** Present once it is resolved. */
  mac: string | undefined;
  /** Entered by hand: the kernel does not resolve it, and nobody else should touch it. */
  static: boolean;
  /** The kernel keeps it fresh by itself. */
  managed: boolean;
}

/** Neighbour states in which the entry's MAC address may be used (include/net/neighbour.h: NUD_VALID). */
const STATIC = new Set(["PERMANENT", "NOARP"]);
const USABLE = new Set(["REACHABLE", "STALE", "DELAY", "PROBE", ...STATIC]);

async function ip<T>(...args: string[]): Promise<T[]> {
  try {
    const { stdout } = await run("ip", ["-json", ...args], {
      timeout: TIMEOUT_MS,
      maxBuffer: MAX_OUTPUT_BYTES,
    });
    return JSON.parse(stdout || "[]") as T[];
  } catch (cause) {
    const { stderr, message } = cause as { stderr?: string; message: string };
    throw new GuidewayError("IPROUTE", `"ip ${args.join(" ")}" failed: ${stderr?.trim() || message}`, {
      cause,
    });
  }
}

/** How packets to an address leave this machine. @throws GuidewayError IPROUTE when there is no route */
export async function routeTo(address: string): Promise<Route> {
  const [route] = await ip<{ dev: string; gateway?: string; via?: { host: string } }>(
    "route",
    "get",
    address,
  );
  if (!route?.dev) throw new GuidewayError("IPROUTE", `no route to ${address}`);
  return { dev: route.dev, gateway: route.gateway ?? route.via?.host };
}

/** Neighbours of an interface. */
export async function neighboursOf(dev: string): Promise<Neighbour[]> {
  const entries = await ip<{ dst: string; lladdr?: string; state?: string[]; managed?: null }>(
    ...["neigh", "show", "dev", dev],
  );
  return entries.map(({ dst, lladdr, state = [], managed }) => ({
    address: dst,
    managed: managed !== undefined,
    mac: state.some((each) => USABLE.has(each)) ? lladdr : undefined,
    static: state.some((each) => STATIC.has(each)),
  }));
}

/** Makes the kernel resolve a neighbour and keep it fresh by itself (NTF_EXT_MANAGED, Linux 5.16). */
export async function manageNeighbour(address: string, dev: string): Promise<void> {
  await ip("neigh", "replace", address, "dev", dev, "managed");
}

/** Forgets a neighbour; the kernel resolves it again when it needs it. */
export async function forgetNeighbour(address: string, dev: string): Promise<void> {
  await ip("neigh", "del", address, "dev", dev).catch(() => undefined);
}
