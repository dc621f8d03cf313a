// What a configuration amounts to: the result of `guideway check`.
import type { ConfigIssue } from "./error.ts";
import { type InterfaceFacts, largestMtu } from "./interfaces.ts";
import type { Ports } from "./ports.ts";
import type { Config, PoolConfig, VipConfig } from "./schema.ts";
import { expandServices, PROTOCOL_TCP, PROTOCOL_UDP } from "./services.ts";
import { isTunnel } from "./tunnel.ts";

export interface VipSummary {
  name: string;
  /** Or prefix. */
  address: string;
  pool: string;
  forward: VipConfig["forward"];
  /** Outer TTL or hop limit; only of tunnels, as what follows. */
  ttl?: number;
  guePort?: number;
  tooBig?: VipConfig["tunnel"]["tooBig"];
  /** Where outer source addresses are from, instead of the machine's. */
  sourcePrefix?: string[];
  echo: boolean;
  guard?: VipConfig["guard"];
  quic: VipConfig["quic"];
  /** Numbers as in docs/datapath.md §1. `echo` is the service of the address itself, port 0. */
  services: { number: number; protocol: "tcp" | "udp" | "echo"; port: Ports }[];
}

export interface PoolSummary {
  name: string;
  algorithm: PoolConfig["algorithm"];
  tableSize: number;
  whenEmpty: PoolConfig["whenEmpty"];
  /** Durations in milliseconds; only of pools whose backends are checked. */
  health?: PoolConfig["health"];
  /** Names of the VIPs that use it. */
  vips: string[];
  /** `share` is the part of new flows by weight, from 0 to 1; `id` as in docs/datapath.md §6. */
  backends: (PoolConfig["backends"][number] & { id: number; share: number })[];
}

/** Bytes of the arena, in all and by region, for so many queues of interfaces and so many workers. */
export interface MemorySummary {
  bytes: number;
  queues: number;
  workers: number;
  regions: Record<string, number>;
}

/** The object that `check --json` prints. */
export interface Summary {
  ok: boolean;
  file: string;
  /** Absent when the configuration has errors. */
  machine?: Config["machine"];
  /** `mtu` and `queues` only where this machine has the interface. */
  interfaces?: { name: string; mtu?: number; queues?: number }[];
  frames?: Config["frames"];
  workers?: Config["workers"];
  /** Timeouts in milliseconds. */
  conntrack?: Config["conntrack"];
  /** The seed in hexadecimal. */
  hash?: { seed: string };
  /** `maxMoved` as a fraction. */
  change?: Config["change"];
  admin?: Config["admin"];
  vips: VipSummary[];
  pools: PoolSummary[];
  /** What the arena would take on this machine. */
  memory?: MemorySummary;
  warnings: ConfigIssue[];
  /** What the network around the machine must do; none in most cases. */
  notes: string[];
  errors: readonly ConfigIssue[];
}

/** The summary of a valid configuration. `facts` are those of the interfaces that this machine has. */
export function summarize(
  file: string,
  config: Config,
  warnings: ConfigIssue[],
  facts: ReadonlyMap<string, InterfaceFacts> = new Map(),
): Summary {
  const { machine, frames, workers, conntrack, hash, change, admin } = config;
  return {
    ok: true,
    file,
    machine,
    interfaces: config.interfaces.map((name) => facts.get(name) ?? { name }),
    frames,
    workers,
    conntrack,
    hash: { seed: `0x${hash.seed.toString(16)}` },
    change,
    admin,
    vips: summarizeVips(config),
    pools: summarizePools(config),
    warnings: [...warnings, ...mtuWarnings(file, config, facts)],
    notes: notesOf(config),
    errors: [],
  };
}

function notesOf({ vips }: Config): string[] {
  const translated = vips.filter(({ forward }) => forward === "nat").map(({ name }) => name);
  if (translated.length === 0) return [];
  const names = translated.length > 3 ? `${translated.length} VIPs` : translated.join(", ");
  return [
    `forward: nat (${names}): backends must send their answers through this machine, as by a default route to it; see nat.md`,
  ];
}

/** The summary of a configuration that cannot be used. */
export function summarizeErrors(file: string, errors: readonly ConfigIssue[]): Summary {
  return { ok: false, file, vips: [], pools: [], warnings: [], notes: [], errors };
}

function summarizeVips(config: Config): VipSummary[] {
  const services = Map.groupBy(expandServices(config), (service) => service.vipIndex);
  return config.vips.map(({ name, address, pool, forward, tunnel, echo, guard, quic }, index) => ({
    name,
    address,
    pool,
    forward,
    ...summarizeTunnel(forward, tunnel),
    echo,
    ...(guard && { guard }),
    quic,
    services: (services.get(index) ?? []).map(({ number, protocol, port }) => ({
      number,
      protocol: protocol === PROTOCOL_TCP ? "tcp" : protocol === PROTOCOL_UDP ? "udp" : "echo",
      port,
    })),
  }));
}

function summarizeTunnel(
  forward: VipConfig["forward"],
  { ttl, guePort, tooBig, sourcePrefix }: VipConfig["tunnel"],
): Partial<VipSummary> {
  if (!isTunnel(forward)) return {};
  return { ttl, tooBig, ...(forward === "gue" && { guePort }), ...(sourcePrefix && { sourcePrefix }) };
}

function summarizePools(config: Config): PoolSummary[] {
  let id = 0;
  return Object.entries(config.pools).map(([name, { algorithm, tableSize, whenEmpty, health, backends }]) => {
    const total = backends.reduce((sum, backend) => sum + backend.weight, 0);
    return {
      name,
      algorithm,
      tableSize,
      whenEmpty,
      ...(health && { health }),
      vips: config.vips.filter((vip) => vip.pool === name).map((vip) => vip.name),
      backends: backends.map((backend) => ({
        id: ++id,
        ...backend,
        share: total === 0 ? 0 : backend.weight / total,
      })),
    };
  });
}

/** Interfaces of this machine whose packets may be larger than a frame. */
function mtuWarnings(
  file: string,
  config: Config,
  facts: ReadonlyMap<string, InterfaceFacts>,
): ConfigIssue[] {
  const limit = largestMtu(config.frames.size);
  return config.interfaces.flatMap((name, index) => {
    const mtu = facts.get(name)?.mtu ?? 0;
    if (mtu <= limit) return [];
    const cure =
      config.frames.size === 2048 && mtu <= largestMtu(4096)
        ? "Set frames.size to 4096"
        : `Lower the MTU to ${limit}`;
    const message = `${name} has an MTU of ${mtu}: packets above ${limit} bytes do not fit into a frame. ${cure}`;
    return [{ file, line: 0, column: 0, path: `interfaces[${index}]`, message }];
  });
}
