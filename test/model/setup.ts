// What the model is given, and how a configuration becomes it when everything is offline: docs/datapath.md §6,
// with the names and defaults of design §7. The configuration arrives as a plain object; nothing is validated.

import { addressBytes, familyOf, toHex } from "./bytes.ts";
import type { Secret } from "./flowkey.ts";

export type BackendState = "active" | "draining" | "dead";

export interface BackendSetup {
  /** From 1, unique over all pools. */
  id: number;
  name: string;
  address: string;
  /** Of the service there; what `nat` sends to. */
  port?: number;
  weight: number;
  /** MAC of the next hop; absent while it is not resolved. */
  mac?: string;
  /** Index of the egress interface, 0 when absent. */
  interface?: number;
  /** Hexadecimal, lower case. */
  quicServerId?: string;
  state: BackendState;
}

export interface PoolSetup {
  name: string;
  tableSize: number;
  backends: BackendSetup[];
}

/** A port, a range `8000-8099`, or 0 for every port. */
export type Ports = number | string;

export type TunnelMode = "gre" | "ipip" | "gue";

export interface VipSetup {
  name: string;
  /** Or a prefix. */
  address: string;
  protocols: ("tcp" | "udp")[];
  ports: Ports[];
  pool: string;
  forward: "l2" | "nat" | TunnelMode;
  ttl: number;
  guePort: number;
  /** Whether what is too big is fragmented without asking its sender. */
  fragment: boolean;
  /** At most one of each family. */
  sourcePrefixes: string[];
  echo: boolean;
  guard?: GuardSetup;
  /** quic.routeBy: server-id */
  byServerId: boolean;
}

export interface GuardSetup {
  allow?: string[];
  deny?: string[];
  packetsPerSecond?: { limit?: number; prefix?: number; prefix6?: number };
}

export interface Timeouts {
  new: number;
  established: number;
  closing: number;
  udp: number;
}

export interface ModelSetup {
  secret: Secret;
  seed: bigint;
  shardLines: number;
  timeoutsMs: Timeouts;
  /** 0 for no limit. */
  newFlowsPerSecond: number;
  /** ICMP errors a second; 0: none. */
  icmpErrorsPerSecond: number;
  machine: { mac: string; address?: string; address6?: string };
  /** MAC of the router behind which all clients are; absent where no route leads to them. */
  clientRouter?: string;
  interfaces: { mac: string; mtu: number }[];
  frameBytes: number;
  /** Most fragments that wait. */
  heldLimit: number;
  pools: PoolSetup[];
  vips: VipSetup[];
  /**
   * When expired ways are emptied: "lazy" (never, the default; they stay until something takes their place) or
   * "eager" (whenever the clock moves). A sweep changes no decision (§3), so that the two must agree.
   */
  sweep?: "lazy" | "eager";
}

/** The part of the configuration (design §7) that the data path depends on. */
export interface Config {
  machine?: { mac?: string; address?: string; address6?: string };
  frames?: { size?: number; count?: number };
  conntrack?: {
    flows?: number;
    newFlowsPerSecond?: number;
    timeouts?: { [state in keyof Timeouts]?: string };
  };
  icmp?: { errorsPerSecond?: number };
  hash?: { seed?: number | bigint };
  pools: Record<string, { tableSize?: number; backends?: ConfigBackend[] }>;
  vips: ConfigVip[];
}

export interface ConfigBackend {
  name?: string;
  address: string;
  port?: number;
  weight?: number;
  mac?: string;
  quicServerId?: string;
}

export interface ConfigVip {
  name: string;
  address: string;
  protocol?: "tcp" | "udp" | "any";
  port: Ports | Ports[];
  pool: string;
  forward?: "l2" | "nat" | TunnelMode;
  tunnel?: {
    ttl?: number;
    guePort?: number;
    tooBig?: "reply" | "fragment";
    sourcePrefix?: string | readonly string[];
  };
  echo?: boolean;
  guard?: GuardSetup;
  quic?: { routeBy?: "none" | "server-id" };
}

/** The first 256 bits of π's fraction, as in Blowfish. */
export const OFFLINE_SECRET: Secret = [
  0x243f6a8885a308d3n,
  0x13198a2e03707344n,
  0xa4093822299f31d0n,
  0x082efa98ec4e6c89n,
];

export function offlineSetup(config: Config): ModelSetup {
  const mac = config.machine?.mac ?? "02:bb:00:00:00:01";
  const timeouts = config.conntrack?.timeouts ?? {};
  let lastId = 0;
  const pools = Object.entries(config.pools).map(([name, pool]) => ({
    name,
    tableSize: pool.tableSize ?? 65537,
    backends: (pool.backends ?? []).map((backend): BackendSetup => {
      lastId++;
      return {
        id: lastId,
        name: backend.name ?? `${backend.address}:${backend.port ?? 0}`,
        address: backend.address,
        ...(backend.port !== undefined && { port: backend.port }),
        weight: backend.weight ?? 1,
        mac: backend.mac ?? offlineMac(backend.address),
        ...(backend.quicServerId && { quicServerId: backend.quicServerId.toLowerCase() }),
        state: "active",
      };
    }),
  }));
  return {
    secret: OFFLINE_SECRET,
    seed: BigInt(config.hash?.seed ?? 0x5ca1ab1e),
    shardLines: shardLinesFor(config.conntrack?.flows ?? 1048576),
    timeoutsMs: {
      new: durationMs(timeouts.new ?? "60s"),
      established: durationMs(timeouts.established ?? "15m"),
      closing: durationMs(timeouts.closing ?? "30s"),
      udp: durationMs(timeouts.udp ?? "30s"),
    },
    newFlowsPerSecond: config.conntrack?.newFlowsPerSecond ?? 0,
    icmpErrorsPerSecond: config.icmp?.errorsPerSecond ?? 1000,
    machine: { ...config.machine, mac },
    clientRouter: "02:aa:00:00:00:01",
    interfaces: [{ mac, mtu: 1500 }],
    frameBytes: config.frames?.size ?? 2048,
    heldLimit: Math.min(512, Math.floor((config.frames?.count ?? 4608) / 8)),
    pools,
    vips: config.vips.map((vip) => ({
      name: vip.name,
      address: vip.address,
      protocols: vip.protocol === "any" ? ["tcp", "udp"] : [vip.protocol ?? "tcp"],
      ports: [vip.port].flat(),
      pool: vip.pool,
      forward: vip.forward ?? "l2",
      ttl: vip.tunnel?.ttl ?? 64,
      guePort: vip.tunnel?.guePort ?? 6080,
      fragment: vip.tunnel?.tooBig === "fragment",
      sourcePrefixes: [vip.tunnel?.sourcePrefix ?? []].flat(),
      echo: vip.echo ?? true,
      ...(vip.guard && { guard: vip.guard }),
      byServerId: vip.quic?.routeBy === "server-id",
    })),
  };
}

/** §6: the MAC of a backend that names none. */
export function offlineMac(address: string): string {
  const bytes = addressBytes(address);
  const prefix = familyOf(address) === 4 ? "0200" : "0206";
  return (prefix + toHex(bytes.subarray(-4))).replace(/..(?=.)/g, "$&:");
}

/** §6: the least power of two that is at least 256 and at least flows / (7 × 256 × 0.5). */
export function shardLinesFor(flows: number): number {
  let lines = 256;
  while (lines < flows / (7 * 256 * 0.5)) lines *= 2;
  return lines;
}

/** `1500ms`, `60s`, `15m`, `1h`. */
export function durationMs(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text.trim());
  if (!match) throw new Error(`not a duration: ${text}`);
  return Math.round(Number(match[1]) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match[2] as "ms"]);
}
