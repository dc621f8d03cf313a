// What differs between two configurations, key by key, and whether a running machine can take it over.

import type { Config } from "./schema.ts";
import { formatPath } from "./source.ts";

/** One difference. Values are those of Config: defaults filled in, durations in milliseconds, addresses canonical. */
export interface ConfigChange {
  /** `pools.web.backends.web-1.weight`: members of lists by their names, where they have one. */
  path: string;
  /** null where there was none. The hash seed is hexadecimal text. */
  before: unknown;
  /** null where there is none any more. */
  after: unknown;
  /** `restart`: a running machine goes on with the old value until it is started anew. */
  effect: "live" | "restart";
}

type Path = readonly string[];

/** What is fixed when a machine starts: sizes and addresses of the arena, sockets, threads, the announcer, self-tests, files of changes, and what flows are hashed by. */
const FIXED: readonly Path[] = [
  ["interfaces"],
  ["frames"],
  ["workers", "max"],
  ["workers", "cpus"],
  ["workers", "batch"],
  ["workers", "busyPoll"],
  ["conntrack"],
  ["icmp"],
  ["hash", "seed"],
  ["machine", "address"],
  ["machine", "address6"],
  ["machine", "mac"],
  ["announce"],
  ["forwarder"],
  ["admin", "socket"],
  ["admin", "listen"],
  ["change", "watch"],
  ["change", "state"],
];

/** What is fixed by being there or not, while what it says may change: a server has TLS, and asks for certificates, or it does not. */
const FIXED_PRESENCE: readonly Path[] = [
  ["admin", "tls"],
  ["admin", "tls", "clientCa"],
];

function needsRestart(path: Path, before: unknown, after: unknown): boolean {
  const leadsTo = (fixed: Path) => fixed.every((key, depth) => path[depth] === key);
  if (FIXED.some(leadsTo)) return true;
  if ((before === undefined) === (after === undefined)) return false;
  return FIXED_PRESENCE.some((fixed) => fixed.length === path.length && leadsTo(fixed));
}

/** All differences, in the order of the schema; none where the configurations mean the same. */
export function diffConfigs(before: Partial<Config>, after: Partial<Config>): ConfigChange[] {
  return [...differences([], before, after)].map(([path, before, after]) => ({
    path: formatPath(path),
    before: plain(before),
    after: plain(after),
    effect: needsRestart(path, before, after) ? "restart" : "live",
  }));
}

/** Whether some of the changes take effect only when the machine is started anew. */
export function requiresRestart(changes: readonly ConfigChange[]): boolean {
  return changes.some(({ effect }) => effect === "restart");
}

/** Whether two parts of configurations mean different things. */
export function differs(before: unknown, after: unknown): boolean {
  return !differences([], before, after).next().done;
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The members of a list that have names, by name; their order means nothing. Undefined for other values. */
function named(value: unknown): Record<string, unknown> | undefined {
  if (!Array.isArray(value)) return undefined;
  const entries = value.map((item) => [isMap(item) ? item.name : undefined, item] as const);
  return entries.every(([name]) => typeof name === "string") ? Object.fromEntries(entries) : undefined;
}

function* differences(
  path: Path,
  before: unknown,
  after: unknown,
): Generator<[path: Path, before: unknown, after: unknown]> {
  const maps = [before, after].map((value) => (isMap(value) ? value : named(value)));
  const [old, next] = maps;
  if (old === undefined || next === undefined) {
    if (!equal(before, after)) yield [path, before, after];
    return;
  }
  const value = (map: Record<string, unknown>, key: string) =>
    Object.hasOwn(map, key) ? map[key] : undefined;
  for (const key of new Set([...Object.keys(old), ...Object.keys(next)]))
    yield* differences([...path, key], value(old, key), value(next, key));
}

/** Whether scalars, or lists of them, are equal. */
function equal(before: unknown, after: unknown): boolean {
  if (!Array.isArray(before) || !Array.isArray(after)) return before === after;
  return before.length === after.length && before.every((value, i) => !differs(value, after[i]));
}

/** A value as JSON can hold it. */
function plain(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value === "bigint") return `0x${value.toString(16)}`;
  if (Array.isArray(value)) return value.map(plain);
  return isMap(value)
    ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]))
    : value;
}
