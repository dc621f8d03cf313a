// A packet through the real engine, with every decision named. What is said here comes from the engine's record of the
// packet; only the headers are decoded again, to be shown.

import * as L from "../../assembly/layout.ts";
import type { Ports } from "../config/ports.ts";
import type { Config } from "../config/schema.ts";
import { serviceOfPort } from "../config/services.ts";
import { backendNames } from "../dataplane/names.ts";
import { OFFLINE_ROUTER_MAC, OfflineEngine, type OfflineResult, offlineMac } from "../io/offline.ts";
import { macText } from "../mac.ts";
import { type Change, findChanges, type Wrapping } from "./changes.ts";
import { type Fragment, fragmentOf, type Quote, quoteOf } from "./flow-hints.ts";
import { explainGuard, type GuardExplanation } from "./guard.ts";
import { decodeHeaders, type Header } from "./headers.ts";
import { MEANINGS } from "./meanings.ts";

/** A packet as it is shown. */
export interface ShownPacket {
  /** Hexadecimal. */
  bytes: string;
  length: number;
  headers: Header[];
}

/** The object that `explain --json` prints. What was not reached is null. */
export interface Explanation {
  verdict: OfflineResult["verdict"];
  reason: string;
  /** The reason in a sentence. */
  meaning: string;
  vip: { name: string; address: string; pool: string; forward: string } | null;
  /**
   * Whether it is a backend's answer, or an ICMP error about a client's packet, on its way to the client: service, flow and
   * connection are those of the client's packets.
   */
  answer: boolean;
  service: { number: number; protocol: string; port: Ports } | null;
  /** The packet that an ICMP error quotes: the other direction of the flow whose backend gets the error. */
  quote: Quote | null;
  fragment: Fragment | null;
  /** The flow's key and its place in the connection table (docs/datapath.md §2); numbers of 64 bits in hexadecimal. */
  flow: {
    key: string;
    shard: number;
    shards: number;
    line: number;
    lines: number;
    fingerprint: string;
    signature: string;
  } | null;
  /** What the VIP's guard says of the source; null where it has none, and for what is no flow. */
  guard: GuardExplanation | null;
  /** What the connection table did; null also where it is not asked: hit, hit-away, inserted, inserted-away, evicted, replaced or none. */
  connection: { outcome: string; tracked: boolean } | null;
  /** Where the lookup table was asked. `entry` is null when it has no slots. */
  lookup: { hash: string; size: number; slot: number | null; entry: string | null } | null;
  backend: { name: string; id: number; pool: string; address: string; nextHop: string } | null;
  before: ShownPacket;
  /** The first of several, when it leaves in fragments. */
  after: ShownPacket | null;
  fragments: ShownPacket[];
  changes: Change[];
  /** Every time that the packet was sent, in order; the rest is about the last. */
  passes: { verdict: OfflineResult["verdict"]; reason: string; connection: string; backend: string | null }[];
}

/**
 * Explains what becomes of a packet.
 * @param times how often it is sent; from the second time on the connection table knows its flow
 */
export async function explain(config: Config, bytes: Uint8Array, times = 1): Promise<Explanation> {
  const engine = new OfflineEngine(config, { inline: true });
  const results: OfflineResult[] = [];
  try {
    for (let i = 0; i < times; i++) results.push(...(await engine.process([{ bytes, timeMs: 0 }])));
    await engine.flush();
  } finally {
    await engine.close();
  }
  return describe(config, engine, bytes, results);
}

function describe(
  config: Config,
  { engine }: OfflineEngine,
  bytes: Uint8Array,
  results: OfflineResult[],
): Explanation {
  const names = backendNames(config);
  const result = results.at(-1)!;
  const { directory, arena } = engine;
  const vip = result.vip === undefined ? undefined : config.vips[result.vip]!;
  const service = serviceOfPort(directory.services, result.service, result.destinationPort);
  const backend = result.backend === 0 ? undefined : directory.backends[result.backend]!;
  const isFlow = vip !== undefined && result.key !== 0n;
  const before = shown(bytes);
  const quote = quoteOf(before.headers);
  const after =
    result.out === undefined
      ? null
      : shown(result.out, vip?.forward === "gue" ? vip.tunnel.guePort : undefined);
  const source = sourceOf(before);
  const wrapping = after ? wrappingOf(result, after.headers) : undefined;
  const name = (id: number) => (id === 0 ? null : names[id]!);
  return {
    verdict: result.verdict,
    reason: result.reason,
    meaning: MEANINGS[result.reason] ?? result.reason,
    vip: vip ? { name: vip.name, address: vip.address, pool: vip.pool, forward: vip.forward } : null,
    answer: result.answer,
    service: service
      ? { number: service.number, protocol: protocolName(service.protocol), port: service.port }
      : null,
    quote,
    fragment: fragmentOf(before.headers),
    flow: isFlow ? place(result.key, arena.plan.shardLines) : null,
    guard: vip && source !== undefined && !result.answer ? explainGuard(vip, source) : null,
    connection:
      isFlow && !BEFORE_CONNECTIONS.includes(result.reason) && !(result.answer && quote)
        ? { outcome: result.track, tracked: result.tracked }
        : null,
    lookup:
      isFlow && !result.tracked && result.hash !== 0
        ? lookup(result, config.pools[vip.pool]!.tableSize, name(result.backend))
        : null,
    backend: backend
      ? {
          name: names[backend.id]!,
          id: backend.id,
          pool: backend.pool,
          address: backend.config.address,
          nextHop: result.answer
            ? OFFLINE_ROUTER_MAC
            : (backend.config.mac ?? macText(offlineMac(backend.config.address))),
        }
      : null,
    before,
    after,
    fragments: (result.fragments ?? []).map((each) => shown(each)),
    changes: after
      ? findChanges(
          { bytes, headers: before.headers },
          { bytes: result.out!, headers: after.headers },
          wrapping,
        )
      : [],
    passes: results.map(({ verdict, reason, track, backend }) => ({
      verdict,
      reason,
      connection: track,
      backend: name(backend),
    })),
  };
}

/** Reasons of packets that are decided before the connection table is asked. */
const BEFORE_CONNECTIONS = ["denied", "rate-limited", "server-id"];

/** The source address; undefined where there is no IP header. */
function sourceOf({ headers }: ShownPacket): string | undefined {
  const ip = headers.find(({ name }) => name === "IPv4" || name === "IPv6");
  return ip?.fields.find(({ name }) => name === "source")?.value;
}

/** Headers in front of the packet: a tunnel's, or those of an ICMP error that quotes it. */
function wrappingOf(
  { verdict, reason, l3 }: OfflineResult,
  headers: readonly Header[],
): Wrapping | undefined {
  const behind = headers.filter(({ offset }) => offset >= l3);
  const isIp = ({ name }: Header) => name === "IPv4" || name === "IPv6";
  const inner = behind.slice(1).find(isIp) ?? behind.find(({ name }) => name === "cut off");
  if (verdict === "forward") return inner && { at: l3, bytes: inner.offset - l3 };
  const quoted = behind.find(({ name }) => name.startsWith("quoted "));
  return reason === "too-big-replied" && quoted ? { at: l3, bytes: quoted.offset - l3 } : undefined;
}

function lookup(
  { hash, slot, reason }: OfflineResult,
  size: number,
  entry: string | null,
): Explanation["lookup"] {
  const empty = reason === "no-backend";
  return { hash: hex(BigInt(hash), 8), size: empty ? 0 : size, slot: empty ? null : slot, entry };
}

function shown(bytes: Uint8Array, guePort?: number): ShownPacket {
  const headers = decodeHeaders(bytes, guePort);
  return { bytes: Buffer.from(bytes).toString("hex"), length: bytes.length, headers };
}

/** Shard, line and entry of a flow key, by docs/datapath.md §2. */
function place(key: bigint, lines: number): NonNullable<Explanation["flow"]> {
  return {
    key: hex(key, 16),
    shard: Number(key & 0xffn),
    shards: L.SHARDS,
    line: Number((key >> 8n) & BigInt(lines - 1)),
    lines,
    fingerprint: hex((key >> 16n) & 0xffffffffn, 8),
    signature: hex(key >> 48n, 4),
  };
}

function hex(value: bigint, digits: number): string {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}

function protocolName(protocol: number): string {
  return { 1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6" }[protocol] ?? String(protocol);
}
