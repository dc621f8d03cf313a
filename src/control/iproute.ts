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

/** Exit code of `ip -batch` when some line failed, as of one that is wrong itself. */
const BATCH_FAILED = 1;

type ExecFailure = Error & { code?: number | string; stdout: string; stderr: string };

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

/**
 * How packets to these addresses leave this machine, by one process however many there are.
 * @param addresses canonical ones
 * @returns for each address its route, or the error that says why it has none
 * @throws GuidewayError IPROUTE when that cannot be asked
 */
export async function routesTo(addresses: readonly string[]): Promise<Map<string, Route | GuidewayError>> {
  const lines = addresses.map((address) => `route get ${address}`);
  const { answers, errors } = await ipBatch<{
    dst: string;
    dev?: string;
    gateway?: string;
    via?: { host: string };
  }>(lines);
  const found = new Map(answers.map((answer) => [answer.dst, answer]));
  return new Map(
    addresses.map((address, line): [string, Route | GuidewayError] => {
      const { dev, gateway, via } = found.get(address) ?? {};
      if (dev !== undefined && !errors.has(line)) return [address, { dev, gateway: gateway ?? via?.host }];
      const reason = errors.get(line) ?? "the kernel names no interface";
      return [address, new GuidewayError("IPROUTE", `"ip ${lines[line]}" failed: ${reason}`)];
    }),
  );
}

/** Runs many commands, of which some may fail. @returns what they answered, and the errors by the number of the line */
async function ipBatch<T>(lines: readonly string[]): Promise<{ answers: T[]; errors: Map<number, string> }> {
  const running = run("ip", ["-json", "-force", "-batch", "-"], {
    timeout: TIMEOUT_MS,
    maxBuffer: MAX_OUTPUT_BYTES,
  });
  // One that ends early says why by its exit code.
  running.child.stdin?.on("error", () => undefined).end(lines.map((line) => `${line}\n`).join(""));
  const { stdout, stderr } = await running.catch((cause: ExecFailure) => {
    if (cause.code === BATCH_FAILED) return cause;
    const message = `"ip -batch" failed: ${cause.stderr?.trim() || cause.message}`;
    throw new GuidewayError("IPROUTE", message, { cause });
  });
  const answers = stdout
    .split("\n")
    .flatMap((line) => (line.startsWith("[") ? (JSON.parse(line) as T[]) : []));
  return { answers, errors: batchErrors(stderr) };
}

/** What `ip -force -batch` says of lines that failed, by their numbers from 0. */
export function batchErrors(stderr: string): Map<number, string> {
  const errors = new Map<number, string>();
  let said: string[] = [];
  for (const line of stderr.split("\n")) {
    const number = /^Command failed .*:(\d+)$/.exec(line)?.[1];
    if (number === undefined) said.push(line.trim());
    else {
      errors.set(Number(number) - 1, said.filter(Boolean).join("; ") || "no reason given");
      said = [];
    }
  }
  return errors;
}

/** A route of the main table. */
export interface KernelRoute {
  /** With its length, or an address alone. */
  prefix: string;
  /** Undefined for a route that leads nowhere (unreachable, blackhole, prohibit), or by a link that is down. */
  dev: string | undefined;
  /** Undefined when destinations are on the link. */
  gateway: string | undefined;
  metric: number;
}

interface Leg {
  dev?: string;
  gateway?: string;
  via?: { host: string };
  flags?: string[];
}

const UNUSABLE = new Set(["dead", "linkdown"]);

/** The main table's unicast routes of a family, those to link-local addresses left out. */
export async function routesOf(family: 4 | 6): Promise<KernelRoute[]> {
  const routes = await ip<Leg & { type?: string; dst: string; metric?: number; nexthops?: Leg[] }>(
    ...[`-${family}`, "route", "show", "table", "main"],
  );
  return routes.flatMap(({ type = "unicast", dst, metric = 0, nexthops, ...only }) => {
    if (type === "multicast" || type === "throw" || dst.startsWith("fe80:")) return [];
    const prefix = dst === "default" ? (family === 4 ? "0.0.0.0/0" : "::/0") : dst;
    const legs = (nexthops ?? [only]).filter(({ flags = [] }) => !flags.some((flag) => UNUSABLE.has(flag)));
    const leg = type === "unicast" ? legs[0] : undefined;
    return [{ prefix, metric, dev: leg?.dev, gateway: leg?.gateway ?? leg?.via?.host }];
  });
}

/** All addresses of this machine. */
export async function addressesOf(): Promise<string[]> {
  const links = await ip<{ addr_info?: { local?: string }[] }>("address", "show");
  return links.flatMap(({ addr_info = [] }) => addr_info.flatMap(({ local }) => local ?? []));
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
