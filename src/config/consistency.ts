// What must hold between the parts of a configuration.
import type { z } from "zod";
import { MAX_BACKENDS, MAX_INTERFACES, MAX_POOLS, MAX_VIPS } from "../../assembly/layout.ts";
import { addressFamily } from "./address.ts";
import { checkAdmin } from "./admin.ts";
import { checkAnnounce } from "./announce.ts";
import { checkServices } from "./overlap.ts";
import { checkPolicies } from "./policies.ts";
import { isPrime, nextPrime } from "./prime.ts";
import { checkPort, probedVip, protocolOf, servicePort } from "./probing.ts";
import { checkNat } from "./returns.ts";
import type { Config } from "./schema.ts";
import { expectation } from "./suggest.ts";
import { isTunnel, sourcePrefixOf } from "./tunnel.ts";

/** A configuration in which any part may be unknown, because it has an error of its own. */
type Draft<T> = T extends (infer E)[]
  ? (Draft<E> | undefined)[]
  : T extends object
    ? { [K in keyof T]?: Draft<T[K]> | undefined }
    : T;

type DraftConfig = Draft<Config>;
type Path = (string | number)[];
/** `key`: the issue is about the last key of the path rather than its value. */
type Report = (path: Path, message: string, at?: "key") => void;

/**
 * Reports every inconsistency. Runs even when fields have errors of their own, on what is left, so that all errors
 * come at once.
 */
export function checkConsistency(config: DraftConfig, context: z.core.$RefinementCtx<Config>): void {
  const report: Report = (path, message, at) =>
    context.addIssue({ code: "custom", path, message, params: { at } });
  checkInterfaces(config, report);
  checkWorkers(config, report);
  checkPools(config, report);
  checkVips(config, report);
  checkServices(config.vips ?? [], report);
  checkTunnels(config, report);
  checkNat(config, report);
  checkAdmin(config.admin, report);
  checkAnnounce(config, report);
  checkHealth(config, report);
  checkForwarder(config, report);
  checkPolicies(config, report);
}

/** Reports each repetition of a value, with the place of its first use. */
function unique(values: readonly unknown[], report: (index: number, first: number) => void): void {
  const seen = new Map<unknown, number>();
  for (const [index, value] of values.entries()) {
    if (value === undefined) continue;
    const first = seen.get(value);
    if (first === undefined) seen.set(value, index);
    else report(index, first);
  }
}

function checkInterfaces({ interfaces = [] }: DraftConfig, report: Report): void {
  if (interfaces.length > MAX_INTERFACES)
    report(["interfaces"], `${interfaces.length} interfaces are listed, expected at most ${MAX_INTERFACES}`);
  unique(interfaces, (index) =>
    report(
      ["interfaces", index],
      `${JSON.stringify(interfaces[index])} is listed twice, expected each interface once`,
    ),
  );
}

function checkWorkers({ workers }: DraftConfig, report: Report): void {
  const { cpus, max, count } = workers ?? {};
  if (typeof count === "number" && typeof max === "number" && count > max)
    report(["workers", "count"], `${count} workers are more than workers.max, expected at most ${max}`);
  if (cpus === undefined) return;
  if (cpus.length === 0)
    report(["workers", "cpus"], "is an empty list, expected a CPU for each worker, or no such key");
  unique(cpus, (index) =>
    report(["workers", "cpus", index], `CPU ${cpus[index]} is listed twice, expected one worker per CPU`),
  );
  if (typeof count === "number" && cpus.length > 0 && cpus.length < count)
    report(
      ["workers", "cpus"],
      `${cpus.length} CPUs are listed for ${count} workers, expected one for each worker, or count: auto`,
    );
}

function checkForwarder({ forwarder, interfaces = [] }: DraftConfig, report: Report): void {
  const { firstPort, ports, interface: pair } = forwarder?.probe ?? {};
  const path = (key: string) => ["forwarder", "probe", key];
  if (firstPort !== undefined && ports !== undefined && firstPort + ports > 65_536)
    report(
      path("ports"),
      `${ports} ports from ${firstPort} on end beyond 65535, expected at most ${65_536 - firstPort}`,
    );
  if (pair === undefined) return;
  if (pair.length > 14)
    report(
      path("interface"),
      `${JSON.stringify(pair)} has no room for a digit, expected at most 14 characters`,
    );
  for (const end of [`${pair}0`, `${pair}1`]) {
    if (interfaces.includes(end))
      report(path("interface"), `${end} is among interfaces, expected names that nothing else has`);
  }
}

function checkPools({ pools = {} }: DraftConfig, report: Report): void {
  const names = Object.keys(pools);
  if (names.length > MAX_POOLS)
    report(["pools"], `${names.length} pools are given, expected at most ${MAX_POOLS}`);
  let total = 0;
  for (const name of names) {
    // Starting with a letter keeps the order of the file: JavaScript moves integer keys to the front.
    if (!/^[a-z][!-~]{0,254}$/i.test(name))
      report(
        ["pools", name],
        `${JSON.stringify(name)} is not a pool's name, expected a letter and up to 254 visible ASCII characters`,
        "key",
      );
    const { tableSize, backends = [] } = pools[name] ?? {};
    if (tableSize !== undefined && !isPrime(tableSize))
      report(
        ["pools", name, "tableSize"],
        `${tableSize} is not a prime, expected a prime such as ${nextPrime(tableSize)}`,
      );
    unique(
      backends.map((backend) => backend?.name),
      (index, first) =>
        report(
          ["pools", name, "backends", index, "name"],
          `${JSON.stringify(backends[index]!.name)} is also the name of backends[${first}], expected a name of its own`,
        ),
    );
    if (total <= MAX_BACKENDS && total + backends.length > MAX_BACKENDS)
      report(
        ["pools", name, "backends"],
        `there are more than ${MAX_BACKENDS} backends from here on, expected at most ${MAX_BACKENDS} in all pools`,
      );
    total += backends.length;
  }
}

function checkVips({ vips = [], pools = {} }: DraftConfig, report: Report): void {
  if (vips.length > MAX_VIPS)
    report(["vips"], `${vips.length} VIPs are listed, expected at most ${MAX_VIPS}`);
  unique(
    vips.map((vip) => vip?.name),
    (index, first) =>
      report(
        ["vips", index, "name"],
        `${JSON.stringify(vips[index]!.name)} is also the name of vips[${first}], expected a name of its own`,
      ),
  );
  const names = Object.keys(pools);
  for (const [index, vip] of vips.entries()) {
    if (vip?.pool === undefined || Object.hasOwn(pools, vip.pool)) continue;
    const expected =
      names.length === 0 ? "expected a pool, and there are none" : expectation(vip.pool, names);
    report(["vips", index, "pool"], `there is no pool ${JSON.stringify(vip.pool)}, ${expected}`);
  }
}

/** A tunnel needs an outer source address of the backend's family; a source prefix is one of each family at most. */
function checkTunnels({ machine, vips = [], pools = {} }: DraftConfig, report: Report): void {
  for (const [index, vip] of vips.entries()) {
    const prefixes = vip?.tunnel?.sourcePrefix ?? [];
    unique(
      prefixes.map((prefix) => prefix && addressFamily(prefix)),
      (at, first) =>
        report(
          ["vips", index, "tunnel", "sourcePrefix", ...(prefixes.length > 1 ? [at] : [])],
          `${prefixes[at]} is of the same family as ${prefixes[first]}, expected at most one prefix of each family`,
        ),
    );
    // A machine section that is itself broken says nothing about its addresses.
    if (machine === undefined) continue;
    if (!isTunnel(vip?.forward) || vip?.pool === undefined || !Object.hasOwn(pools, vip.pool)) continue;
    const missing = new Set<4 | 6>();
    for (const backend of pools[vip.pool]?.backends ?? []) {
      if (backend?.address === undefined) continue;
      const family = addressFamily(backend.address);
      const key = family === 4 ? "address" : "address6";
      if (key in machine || missing.has(family) || sourcePrefixOf(prefixes, family)) continue;
      missing.add(family);
      report(
        ["vips", index, "forward"],
        `${vip.forward} to ${backend.address} has no outer source address, expected machine.${key} to be set, or tunnel.sourcePrefix`,
      );
    }
  }
}

/** A check needs a port; one through the tunnel needs a VIP that takes it there. */
function checkHealth({ vips = [], pools = {} }: DraftConfig, report: Report): void {
  for (const [name, pool] of Object.entries(pools)) {
    const { health, backends = [] } = pool ?? {};
    if (health?.type === undefined || health.type === "exec") continue;
    const { type, via } = health;
    const fallback = servicePort(vips, name);
    for (const [index, backend] of backends.entries()) {
      if (backend === undefined) continue;
      const port = checkPort(health, backend, fallback);
      const own = backend.healthPort !== undefined;
      const path = own
        ? ["pools", name, "backends", index, "healthPort"]
        : ["pools", name, "health", ...(health.port === undefined ? [] : ["port"])];
      if (port === undefined)
        report(
          path,
          `no port to check backends[${index}] at, expected health.port, a port of the backend, or VIPs that all have the same port`,
        );
      else if (via === "tunnel" && !probedVip(vips, name, type, port))
        report(
          path,
          `no VIP of this pool takes ${protocolOf(type)} to port ${port}, expected one: via tunnel, checks go to a VIP`,
        );
      else continue;
      if (!own) break;
    }
  }
}
