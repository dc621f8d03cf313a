// The data path once more: a plain, slow, obvious implementation of docs/datapath.md, one packet at a time,
// that shares no code with the engine. Where the two differ, one of them or the document is wrong.

import { TRACK_HIT, TRACK_HIT_AWAY, TRACK_NONE } from "../../assembly/layout.ts";
import { Admission } from "./admission.ts";
import { familyOf, field } from "./bytes.ts";
import { Conntrack, type Track } from "./conntrack.ts";
import { flowKey, slotOf, tableHash } from "./flowkey.ts";
import { Guard, serverIdOf } from "./guard.ts";
import { maglevTable } from "./maglev.ts";
import { type Parsed, parse } from "./parse.ts";
import { echoReply, withMacs } from "./rewrite.ts";
import { Services } from "./services.ts";
import type { BackendSetup, BackendState, ModelSetup } from "./setup.ts";
import { Sources } from "./sources.ts";
import { fragments, hasBeginning, Identifications, LEAST_MTU, mustBeWhole, tooBigReply } from "./too-big.ts";
import { encapsulate, framed, sourceAddress } from "./tunnel.ts";

export interface Outcome {
  verdict: "forward" | "reply" | "pass" | "drop";
  /** As the document writes it: hit, new, echo, not-ip, truncated, … */
  reason: string;
  /** Number of the service, or of the address service when an address rule or ICMP's asked for it; else 0. */
  service: number;
  vip: string | undefined;
  backend: string | undefined;
  /** The flow was in the connection table. */
  tracked: boolean;
  /** TRACK_*. */
  track: number;
  /** Flow key; 0 when there is no service. */
  key: bigint;
  /** Slot of the lookup table; on a miss only. */
  slot?: number;
  /** The frame that leaves; forward and reply only. */
  out?: Uint8Array;
  /** What follows it, when it is the first of several fragments. */
  fragments?: Uint8Array[];
}

type Flow = Extract<Parsed, { step: "flow" }>;
type Echo = Extract<Parsed, { step: "echo" }>;

/** Bytes in front of a received packet, out of the frame's. */
const HEADROOM = 256;

export class Model {
  readonly #setup: ModelSetup;
  readonly #services: Services;
  readonly #conntrack: Conntrack;
  readonly #sources: Sources;
  readonly #admission: Admission;
  /** Of ICMP errors. */
  readonly #errors: Admission;
  readonly #identifications: Identifications;
  /** By the VIP's name. */
  readonly #guards: ReadonlyMap<string, Guard>;
  readonly #backends = new Map<number, BackendSetup & { pool: string }>();
  /** Backend ids in slot order, by pool. */
  readonly #tables = new Map<string, number[]>();

  constructor(setup: ModelSetup) {
    this.#setup = setup;
    this.#services = new Services(setup.vips);
    this.#sources = new Sources(setup);
    this.#guards = new Map(setup.vips.map((vip) => [vip.name, new Guard(vip)]));
    this.#admission = new Admission(setup.newFlowsPerSecond);
    this.#errors = new Admission(setup.icmpErrorsPerSecond);
    this.#identifications = new Identifications(setup.secret);
    const eager = setup.sweep === "eager";
    const { shardLines, timeoutsMs } = setup;
    this.#conntrack = new Conntrack({ shardLines, timeoutsMs, eager }, (id) => {
      const state = this.#backends.get(id)?.state;
      return state === "active" || state === "draining";
    });
    for (const pool of setup.pools) this.setTable(pool.name, pool.backends);
  }

  /** Changes what a hit on the backend means. The lookup tables stay until `setTable`. */
  setBackendState(id: number, state: BackendState): void {
    const backend = this.#backends.get(id);
    if (!backend) throw new Error(`no backend ${id}`);
    backend.state = state;
  }

  /** Changes the next hop of a backend; undefined: not resolved. */
  setNextHop(id: number, mac: string | undefined): void {
    const backend = this.#backends.get(id);
    if (!backend) throw new Error(`no backend ${id}`);
    if (mac === undefined) delete backend.mac;
    else backend.mac = mac;
  }

  /** Swaps a pool's lookup table for one of the active backends in the list, and takes over their records. */
  setTable(pool: string, backends: BackendSetup[]): void {
    const tableSize = this.#setup.pools.find(({ name }) => name === pool)?.tableSize;
    if (tableSize === undefined) throw new Error(`no pool ${pool}`);
    for (const backend of backends) this.#backends.set(backend.id, { ...backend, pool });
    const active = backends.filter(({ state }) => state === "active");
    this.#tables.set(pool, maglevTable(tableSize, active));
  }

  /** Backend ids of a pool in slot order; empty when the pool has none. */
  table(pool: string): readonly number[] {
    return this.#tables.get(pool) ?? [];
  }

  /** Entries of the connection table that count as the backend's active flows. */
  activeFlows(id: number): number {
    return this.#conntrack.activeFlows(id);
  }

  /** `clockMs` counts from any origin, and should not run backwards. */
  process(packet: Uint8Array, clockMs: number): Outcome {
    const outcome: Outcome = {
      verdict: "drop",
      reason: "oversized",
      service: 0,
      vip: undefined,
      backend: undefined,
      tracked: false,
      track: TRACK_NONE,
      key: 0n,
    };
    if (packet.length > this.#setup.frameBytes - HEADROOM) return outcome;
    this.#conntrack.advance(clockMs);

    const parsed = parse(packet, this.#services);
    if (parsed.service && parsed.tuple) {
      outcome.service = parsed.service.number;
      outcome.vip = parsed.service.vip.name;
      const { number, wide } = parsed.service;
      outcome.key = flowKey(this.#setup.secret, parsed.tuple, number, wide);
    }
    if (parsed.step === "done") return { ...outcome, verdict: parsed.verdict, reason: parsed.reason };
    if (parsed.step === "echo") return { ...outcome, ...this.#answer(packet, parsed) };
    const guarded = this.#guarded(parsed);
    if (guarded) return { ...outcome, verdict: "drop", reason: guarded };
    return { ...outcome, ...this.#forward(packet, parsed, outcome.key) };
  }

  /** §8. Why the VIP's guard drops a packet; undefined when it does not. */
  #guarded({ service: { vip }, ip }: Flow | Echo): string | undefined {
    return this.#guards.get(vip.name)!.refusal(ip.source, this.#conntrack.clockMs);
  }

  /** §5: an echo request that would be answered. */
  #answer(packet: Uint8Array, echo: Echo): Pick<Outcome, "verdict" | "reason" | "out"> {
    const { ip } = echo;
    const refused = this.#guarded(echo) ?? this.#sources.refusal(ip.source, ip.destination);
    if (refused) return { verdict: "drop", reason: refused };
    return { verdict: "reply", reason: "echo", out: echoReply(packet, ip) };
  }

  /** §7: a self-test of a worker always goes back. @returns its bytes, rewritten or as they came */
  selfTest(packet: Uint8Array): Uint8Array {
    const parsed = parse(packet, this.#services);
    if (parsed.step !== "flow") return packet;
    const table = this.table(parsed.service.vip.pool);
    if (table.length === 0) return packet;
    const backend = table[slotOf(tableHash(this.#setup.seed, parsed.tuple), table.length)]!;
    return this.#send(packet, parsed, { backend, track: TRACK_NONE }, {}, "probe").out ?? packet;
  }

  /** §7: a packet by a port for health checks. `ports` are backend ids by source port. */
  probe(packet: Uint8Array, ports: ReadonlyMap<number, number>): Pick<Outcome, "verdict" | "reason" | "out"> {
    const parsed = parse(packet, this.#services);
    if (parsed.step === "done") return { verdict: parsed.verdict, reason: parsed.reason };
    if (parsed.step === "echo") return this.#answer(packet, parsed);
    const backend = ports.get((parsed.tuple.sourcePort[0]! << 8) | parsed.tuple.sourcePort[1]!);
    if (backend === undefined) return { verdict: "drop", reason: "no-backend" };
    const {
      verdict = "drop",
      reason = "",
      out,
    } = this.#send(packet, parsed, { backend, track: TRACK_NONE }, {}, "probe");
    return { verdict, reason: verdict === "forward" ? "probe" : reason, ...(out && { out }) };
  }

  #forward(packet: Uint8Array, flow: Flow, key: bigint): Partial<Outcome> {
    const named = this.#namedBackend(packet, flow);
    if (named !== undefined) {
      const refused = this.#sources.refusal(flow.ip.source, flow.ip.destination);
      if (refused) return { verdict: "drop", reason: refused };
      return this.#send(packet, flow, { backend: named, track: TRACK_NONE }, {}, "server-id");
    }
    const found = this.#conntrack.hit(key, flow.tcpFlags);
    if (found) return this.#send(packet, flow, found, {});
    const refused = this.#sources.refusal(flow.ip.source, flow.ip.destination);
    if (refused) return { verdict: "drop", reason: refused };
    const table = this.table(flow.service.vip.pool);
    if (table.length === 0) return { verdict: "drop", reason: "no-backend" };
    const slot = slotOf(tableHash(this.#setup.seed, flow.tuple), table.length);
    const backend = table[slot]!;
    if (!this.#conntrack.isKnown(key) && !this.#admission.enter(key, this.#conntrack.clockMs)) {
      return this.#send(packet, flow, { backend, track: TRACK_NONE }, { slot }, "table");
    }
    return this.#send(packet, flow, this.#conntrack.insert(key, backend, flow.tcpFlags), { slot });
  }

  /** §9. The usable backend whose server id a packet has; undefined for none. */
  #namedBackend(packet: Uint8Array, { service: { vip }, ip, tcpFlags }: Flow): number | undefined {
    if (!vip.byServerId || tcpFlags !== undefined) return undefined;
    const pool = [...this.#backends.values()].filter(({ pool }) => pool === vip.pool);
    const length = pool.find(({ quicServerId }) => quicServerId)?.quicServerId?.length;
    if (length === undefined) return undefined;
    const datagram = packet.subarray(ip.l4 + 8, ip.l4 + field(packet, ip.l4 + 4, 2));
    const id = serverIdOf(datagram, length / 2);
    const backend = pool.find(({ quicServerId }) => quicServerId !== undefined && quicServerId === id);
    return backend && backend.state !== "dead" ? backend.id : undefined;
  }

  /** §5. The connection table has been written by now, whatever becomes of the packet. */
  #send(
    packet: Uint8Array,
    flow: Flow,
    track: Track,
    chosen: { slot?: number },
    reason = "new",
  ): Partial<Outcome> {
    const backend = this.#backends.get(track.backend)!;
    const tracked = track.track === TRACK_HIT || track.track === TRACK_HIT_AWAY;
    const known = { ...chosen, backend: backend.name, tracked, track: track.track };
    if (backend.mac === undefined) return { ...known, verdict: "drop", reason: "unresolved" };
    const egress = this.#setup.interfaces[backend.interface ?? 0]!;
    const { vip } = flow.service;
    const { mac } = backend;
    const outer = vip.forward === "l2" ? undefined : this.#tunnelled(packet, flow, backend);
    const leave = (outer?: Uint8Array) =>
      withMacs(outer ? framed(packet, flow.ip, outer) : packet, mac, egress.mac);
    const forwarded = { ...known, verdict: "forward", reason: tracked ? "hit" : reason } as const;
    if ((outer?.length ?? flow.ip.length) <= egress.mtu) return { ...forwarded, out: leave(outer) };
    if (reason === "probe") return { ...known, verdict: "drop", reason: "too-big" };

    const added = (outer?.length ?? flow.ip.length) - flow.ip.length;
    const reply = this.#tooBigReply(packet, flow, egress.mtu - added, outer !== undefined && vip.fragment);
    if (reply) return { ...known, ...reply };
    const pieces =
      outer && fragments(outer, egress.mtu, this.#identify(flow, outer[0]! >> 4 === 4 ? 16 : 32));
    if (!pieces) return { ...known, verdict: "drop", reason: "too-big" };
    const [out, ...rest] = pieces.map(leave);
    return { ...forwarded, out: out!, fragments: rest };
  }

  #keyOf({ service, tuple }: Flow): bigint {
    return flowKey(this.#setup.secret, tuple, service.number, service.wide);
  }

  #identify(flow: Flow, bits: 16 | 32): number {
    return this.#identifications.next(this.#keyOf(flow), bits);
  }

  /** What becomes of a packet that is too big and must not be fragmented; undefined when it is to be. */
  #tooBigReply(
    packet: Uint8Array,
    flow: Flow,
    room: number,
    fragment: boolean,
  ): Partial<Outcome> | undefined {
    const { ip } = flow;
    const least = LEAST_MTU[ip.family];
    if (fragment || ip.length <= least || !mustBeWhole(packet, ip)) return undefined;
    const answerable =
      hasBeginning(packet, ip) && this.#sources.refusal(ip.source, ip.destination) === undefined;
    if (!answerable || !this.#mayAnswer(this.#keyOf(flow))) return { verdict: "drop", reason: "too-big" };
    const out = tooBigReply(packet, ip, Math.max(room, least));
    return { verdict: "reply", reason: "too-big-replied", out };
  }

  #mayAnswer(key: bigint): boolean {
    return this.#setup.icmpErrorsPerSecond > 0 && this.#errors.enter(key, this.#conntrack.clockMs);
  }

  /** The packet in the tunnel of its VIP, from the outer header on. */
  #tunnelled(packet: Uint8Array, flow: Flow, { address }: BackendSetup): Uint8Array {
    const { ip, service } = flow;
    const { machine } = this.#setup;
    const { forward, ttl, guePort, sourcePrefixes } = service.vip;
    if (forward === "l2") throw new Error(`${service.vip.name} is not reached by a tunnel`);
    const key = this.#keyOf(flow);
    const family = familyOf(address);
    const prefix = sourcePrefixes.find((each) => familyOf(each) === family);
    const own = family === 4 ? machine.address : machine.address6;
    const source = prefix ?? own;
    if (source === undefined) throw new Error(`the machine has no address to reach ${address}`);
    const tunnel = {
      mode: forward,
      source: sourceAddress(source, key),
      destination: address,
      ttl,
      guePort,
      key,
    };
    return encapsulate(packet, ip, tunnel);
  }
}
