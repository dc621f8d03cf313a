// Where answers come from that `forward: nat` turns back: for each backend of a VIP with that mode, the address, protocol and
// port from which it answers for a service. That alone names the service, so no two services may have one in common.

import { MAX_RETURNS } from "../../assembly/layout.ts";
import { addressFamily, endpoint } from "./address.ts";
import { type Ports, singlePortCount, singlePorts } from "./ports.ts";
import type { BackendConfig, Config } from "./schema.ts";
import { expandServices, PROTOCOL_TCP, PROTOCOL_UDP, type Service } from "./services.ts";

/** A place that answers come from. */
export interface Return {
  /** Of the backend. */
  address: string;
  protocol: number;
  port: number;
  /** What it answers for, and its place among those of expandServices. */
  service: Service;
  index: number;
  pool: string;
  backend: BackendConfig;
}

/** All of a configuration, in the order of its services and then of their backends. */
export function expandReturns({ vips, pools }: Pick<Config, "vips" | "pools">): Return[] {
  if (!vips.some(({ forward }) => forward === "nat")) return [];
  return expandServices({ vips }).flatMap((service, index) => {
    const { forward, pool } = vips[service.vipIndex]!;
    const { protocol } = service;
    if (forward !== "nat" || (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP)) return [];
    return pools[pool]!.backends.map((backend) => ({
      address: backend.address,
      protocol,
      port: backend.port ?? Number(service.port),
      service,
      index,
      pool,
      backend,
    }));
  });
}

interface DraftVip {
  name?: string | undefined;
  address?: string | undefined;
  protocol?: "tcp" | "udp" | "any" | undefined;
  port?: (Ports | undefined)[] | undefined;
  pool?: string | undefined;
  forward?: string | undefined;
}

interface Draft {
  vips?: (DraftVip | undefined)[] | undefined;
  pools?:
    | Record<
        string,
        | {
            backends?:
              | ({ address?: string | undefined; port?: number | undefined } | undefined)[]
              | undefined;
          }
        | undefined
      >
    | undefined;
}

type Report = (path: (string | number)[], message: string) => void;

/** `nat` stays within a family, and its answers name their service. Parts with errors of their own are left out. */
export function checkNat({ vips = [], pools = {} }: Draft, report: Report): void {
  const owners = new Map<string, { vip: number; port: number; backend: number }>();
  for (const [index, vip] of vips.entries()) {
    if (vip?.forward !== "nat" || vip.pool === undefined || !Object.hasOwn(pools, vip.pool)) continue;
    const backends = pools[vip.pool]?.backends ?? [];
    if (!checkExtent(index, vip, report) || !checkFamilies(index, vip, backends, report)) continue;
    if (owners.size + mostOrigins(vip, backends.length) <= MAX_RETURNS) {
      checkOrigins(index, vip, backends, owners, { vips, report });
    } else {
      report(
        ["vips", index, "forward"],
        `from here on there are more than ${MAX_RETURNS} places that answers to nat come from, expected at most ` +
          `${MAX_RETURNS}: one for each backend, protocol and port of each VIP`,
      );
      return;
    }
  }
}

type DraftBackends = NonNullable<NonNullable<NonNullable<Draft["pools"]>[string]>["backends"]>;

/** Places that answers for a VIP come from, at most. */
function mostOrigins({ protocol, port = [] }: DraftVip, backends: number): number {
  const ports = port.reduce<number>((sum, each) => sum + (each === undefined ? 0 : singlePortCount(each)), 0);
  return ports * backends * (protocol === "any" ? 2 : 1);
}

/** One address and named ports: an answer tells neither of several. @returns whether all is well */
function checkExtent(index: number, { address, port = [] }: DraftVip, report: Report): boolean {
  if (address?.includes("/")) {
    const message = `nat for the prefix ${address} could not tell for which address an answer is, expected one address`;
    report(["vips", index, "forward"], message);
    return false;
  }
  const any = port.indexOf(0);
  if (any < 0) return true;
  report(
    ["vips", index, "port", any],
    "0 (every port) is too much for nat, expected ports, or ranges of them",
  );
  return false;
}

/** @returns whether all is well */
function checkFamilies(
  index: number,
  { address, pool }: DraftVip,
  backends: DraftBackends,
  report: Report,
): boolean {
  if (address === undefined) return false;
  const other = backends.findIndex(
    (backend) => backend?.address !== undefined && addressFamily(backend.address) !== addressFamily(address),
  );
  if (other < 0) return true;
  report(
    ["vips", index, "forward"],
    `nat from ${address} to ${backends[other]!.address}, backends[${other}] of pool ${JSON.stringify(pool)}, would go ` +
      "from one IP version to the other, expected backends of the VIP's version, or a tunnel",
  );
  return false;
}

/** Reports the first place from which answers could be for two services. */
function checkOrigins(
  index: number,
  { protocol, port: ports = [], pool }: DraftVip,
  backends: DraftBackends,
  owners: Map<string, { vip: number; port: number; backend: number }>,
  { vips, report }: { vips: readonly (DraftVip | undefined)[]; report: Report },
): void {
  const protocols = protocol === "any" ? ["tcp", "udp"] : protocol ? [protocol] : [];
  const nameOf = (vip: number, port: number) =>
    `${JSON.stringify(vips[vip]?.name ?? `vips[${vip}]`)} (${endpoint(vips[vip]!.address!, port)})`;
  for (const each of protocols) {
    for (const [at, backend] of backends.entries()) {
      if (backend?.address === undefined) continue;
      for (const port of ports.flatMap((each) => (each === undefined ? [] : singlePorts(each)))) {
        const origin = endpoint(backend.address, backend.port ?? port);
        const owner = owners.get(`${each} ${origin}`);
        if (owner === undefined) {
          owners.set(`${each} ${origin}`, { vip: index, port, backend: at });
          continue;
        }
        if (owner.vip === index && owner.port === port) {
          report(
            ["vips", index, "forward"],
            `nat: backends[${owner.backend}] and backends[${at}] of pool ${JSON.stringify(pool)} both answer from ` +
              `${each} ${origin}, expected each backend once`,
          );
        } else {
          report(
            ["vips", index, "forward"],
            `nat: answers from ${each} ${origin}, backends[${at}] of pool ${JSON.stringify(pool)}, could be for ` +
              `${nameOf(owner.vip, owner.port)} or ${nameOf(index, port)}, expected another backend or port for each`,
          );
        }
        return;
      }
    }
  }
}
