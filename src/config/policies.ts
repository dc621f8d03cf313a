// What must hold of guards and server ids, and what is odd about them.
import { addressFamily } from "./address.ts";
import { parsePrefix } from "./prefix.ts";
import type { Config, VipConfig } from "./schema.ts";
import type { Warning } from "./warnings.ts";

type Path = (string | number)[];
type Report = (path: Path, message: string) => void;

/** The parts that are looked at; any may be unknown, because it has an error of its own. */
interface Draft {
  vips?: (VipDraft | undefined)[] | undefined;
  pools?: Record<string, { backends?: (BackendDraft | undefined)[] | undefined } | undefined> | undefined;
}

interface VipDraft {
  pool?: string | undefined;
  protocol?: VipConfig["protocol"] | undefined;
  guard?: GuardDraft | undefined;
  quic?: { routeBy?: VipConfig["quic"]["routeBy"] | undefined } | undefined;
}

interface GuardDraft {
  allow?: (string | undefined)[] | undefined;
  deny?: (string | undefined)[] | undefined;
}

interface BackendDraft {
  quicServerId?: string | undefined;
}

/** Each prefix is in one list, once; server ids of a pool can be told apart, and are there where they are looked for. */
export function checkPolicies({ vips = [], pools = {} }: Draft, report: Report): void {
  for (const [index, vip] of vips.entries()) {
    if (vip?.guard) checkGuard(vip.guard, ["vips", index, "guard"], report);
    if (vip?.quic?.routeBy !== "server-id") continue;
    const path = ["vips", index, "quic", "routeBy"];
    if (vip.protocol === "tcp")
      report(path, "server-id needs UDP, and the VIP takes TCP alone, expected protocol udp or any");
    const pool = vip.pool === undefined ? undefined : pools[vip.pool];
    if (pool?.backends?.every((backend) => backend && backend.quicServerId === undefined))
      report(
        path,
        `server-id finds none in pool ${JSON.stringify(vip.pool)}, expected quicServerId at its backends`,
      );
  }
  for (const [name, pool] of Object.entries(pools)) checkServerIds(pool?.backends ?? [], name, report);
}

function checkGuard({ allow, deny = [] }: GuardDraft, path: Path, report: Report): void {
  if (allow?.length === 0)
    report([...path, "allow"], "is an empty list, expected a prefix, or no such key: nobody could send");
  const first = new Map<string, string>();
  for (const [list, prefixes] of [
    ["allow", allow ?? []],
    ["deny", deny],
  ] as const) {
    for (const [index, prefix] of prefixes.entries()) {
      if (prefix === undefined) continue;
      const place = first.get(prefix);
      if (place === undefined) first.set(prefix, `${list}[${index}]`);
      else report([...path, list, index], `${prefix} is also ${place}, expected each prefix once`);
    }
  }
}

const bytes = (count: number) => `${count} byte${count === 1 ? "" : "s"}`;

function checkServerIds(backends: readonly (BackendDraft | undefined)[], pool: string, report: Report): void {
  const first = new Map<string, number>();
  let length: number | undefined;
  for (const [index, backend] of backends.entries()) {
    const id = backend?.quicServerId;
    if (id === undefined) continue;
    const path = ["pools", pool, "backends", index, "quicServerId"];
    length ??= id.length;
    const same = first.get(id);
    if (id.length !== length)
      report(
        path,
        `${JSON.stringify(id)} is of ${bytes(id.length / 2)}, expected ${bytes(length / 2)} like the first`,
      );
    else if (same !== undefined)
      report(path, `${JSON.stringify(id)} is also that of backends[${same}], expected one of its own`);
    else first.set(id, index);
  }
}

/** What has no effect, or one that nobody can want. */
export function policyWarnings({ vips, pools }: Config): Warning[] {
  const warnings: Warning[] = [];
  for (const [index, { address, guard }] of vips.entries()) {
    const family = addressFamily(address);
    if (!guard?.allow || guard.allow.some((prefix) => parsePrefix(prefix).family === family)) continue;
    const message = `no prefix is of IPv${family}, the VIP's family: all packets to it are dropped (denied)`;
    warnings.push({ path: ["vips", index, "guard", "allow"], message });
  }
  const looking = new Set(vips.filter(({ quic }) => quic.routeBy === "server-id").map(({ pool }) => pool));
  for (const [name, { backends }] of Object.entries(pools)) {
    const has = backends.findIndex(({ quicServerId }) => quicServerId !== undefined);
    const lacks = backends.findIndex(({ quicServerId }) => quicServerId === undefined);
    const path = (index: number) => ["pools", name, "backends", index];
    if (has >= 0 && !looking.has(name))
      warnings.push({
        path: [...path(has), "quicServerId"],
        message: "no VIP of this pool has quic.routeBy: server-id: the id has no effect",
      });
    if (has >= 0 && lacks >= 0 && looking.has(name))
      warnings.push({
        path: path(lacks),
        message: "it has no quicServerId: its clients lose it when they change their address",
      });
  }
  return warnings;
}
