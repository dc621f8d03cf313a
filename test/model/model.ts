// The data path once more: a plain, slow, obvious implementation of docs/datapath.md, one packet at a time,
// that shares no code with the engine. Where the two differ, one of them or the document is wrong.

import { TRACK_HIT, TRACK_HIT_AWAY, TRACK_NONE } from "../../assembly/layout.ts";
import { Admission } from "./admission.ts";
import { addressBytes, familyOf, field } from "./bytes.ts";
import { Conntrack, type Track } from "./conntrack.ts";
import { flowKey, slotOf, tableHash } from "./flowkey.ts";
import { addressKey, datagramTag, Fragments, type Ports } from "./fragments.ts";
import { Guard } from "./guard.ts";
import { maglevTable } from "./maglev.ts";
import { Origins, translated, translatedBack, translatedError } from "./nat.ts";
import { answerOf, type Parsed, parse, type Quoted } from "./parse.ts";
import { namedBackend } from "./quic.ts";
import { echoReply, withMacs } from "./rewrite.ts";
import { Services } from "./services.ts";
import type { BackendSetup, BackendState, ModelSetup } from "./setup.ts";
import { Sources } from "./sources.ts";
import { fragments, Identifications, LEAST_MTU, mayBeAnswered, mustBeWhole, tooBigReply } from "./too-big.ts";
import { framed, tunnelled } from "./tunnel.ts";

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
type Fragment = Extract<Parsed, { step: "fragment" }>;
type IcmpError = Extract<Parsed, { step: "error" }>;

type Keyed = Pick<Flow, "ip" | "service" | "tuple">;

interface Part {
  /** A fragment without the header of layer 4. */
  isLater?: boolean;
  /** What an ICMP error quotes. */
  quoted?: Quoted;
}

type Answer = Extract<Parsed, { step: "answer" }>;

/** Bytes in front of a received packet, out of the frame's. */
const HEADROOM = 256;

export class Model {
  readonly #setup: ModelSetup;
  readonly #services: Services;
  readonly #origins: Origins;
  readonly #conntrack: Conntrack;
  readonly #fragments: Fragments;
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
    const { address, address6 } = setup.machine;
    const own = [address, address6].filter((each) => each !== undefined);
    this.#origins = new Origins(
      setup.vips,
      setup.pools,
      own,
      (vip, protocol, port) => this.#services.find(addressBytes(vip.address), protocol, port)!,
    );
    this.#sources = new Sources(setup);
    this.#guards = new Map(setup.vips.map((vip) => [vip.name, new Guard(vip)]));
    this.#admission = new Admission(setup.newFlowsPerSecond);
    this.#fragments = new Fragments(setup.heldLimit);
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

  /** Ends the wait of all fragments that are held. */
  flush(): void {
    this.#fragments.flush();
  }

  /**
   * `clockMs` counts from any origin, and should not run backwards. The outcome of a fragment with the reason `held` becomes
   * another one when its wait ends.
   */
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
    this.#fragments.advance(clockMs);

    const parsed = parse(packet, this.#services, this.#origins);
    if (parsed.service && parsed.tuple) {
      outcome.service = parsed.service.number;
      outcome.vip = parsed.service.vip.name;
      const { number, wide } = parsed.service;
      outcome.key = flowKey(this.#setup.secret, parsed.tuple, number, wide);
    }
    if (parsed.step === "done") return { ...outcome, verdict: parsed.verdict, reason: parsed.reason };
    if (parsed.step === "echo") return { ...outcome, ...this.#reply(packet, parsed) };
    if (parsed.step === "answer") return { ...outcome, ...this.#answer(packet, parsed, outcome.key) };
    if (parsed.step === "fragment") return this.#fragment(packet, parsed, outcome);
    if (parsed.step === "error") return { ...outcome, ...this.#deliver(packet, parsed, outcome.key) };
    const guarded = this.#guarded(parsed);
    if (guarded) return { ...outcome, verdict: "drop", reason: guarded };
    return {
      ...outcome,
      ...(this.#byServerId(packet, parsed) ?? this.#forward(packet, parsed, outcome.key)),
    };
  }

  /** §8. Why the VIP's guard drops a packet; undefined when it does not. */
  #guarded({ service: { vip }, ip }: Flow | Echo): string | undefined {
    return this.#guards.get(vip.name)!.refusal(ip.source, this.#conntrack.clockMs);
  }

  /** §5: an echo request that would be answered. */
  #reply(packet: Uint8Array, echo: Echo): Pick<Outcome, "verdict" | "reason" | "out"> {
    const { ip } = echo;
    const refused = this.#guarded(echo) ?? this.#sources.refusal(ip.source, ip.destination);
    if (refused) return { verdict: "drop", reason: refused };
    return { verdict: "reply", reason: "echo", out: echoReply(packet, ip) };
  }

  /** §7: a self-test of a worker always goes back. @returns its bytes, rewritten or as they came */
  selfTest(packet: Uint8Array): Uint8Array {
    const parsed = parse(packet, this.#services, this.#origins);
    if (parsed.step !== "flow") return packet;
    const table = this.table(parsed.service.vip.pool);
    if (table.length === 0) return packet;
    const backend = table[slotOf(tableHash(this.#setup.seed, parsed.tuple), table.length)]!;
    return this.#send(packet, parsed, { backend, track: TRACK_NONE }, {}, "probe").out ?? packet;
  }

  /** §7: a packet by a port for health checks. `ports` are backend ids by source port. */
  probe(packet: Uint8Array, ports: ReadonlyMap<number, number>): Pick<Outcome, "verdict" | "reason" | "out"> {
    const parsed = parse(packet, this.#services, this.#origins);
    if (parsed.step === "done") return { verdict: parsed.verdict, reason: parsed.reason };
    if (parsed.step === "echo") return this.#reply(packet, parsed);
    if (parsed.step === "answer") {
      const key = flowKey(this.#setup.secret, parsed.tuple, parsed.service.number, parsed.service.wide);
      const { verdict = "drop", reason = "", out } = this.#answer(packet, parsed, key);
      return { verdict, reason, ...(out && { out }) };
    }
    if (parsed.step === "error") return { verdict: "drop", reason: "icmp-unsupported" };
    if (parsed.step === "fragment") return { verdict: "drop", reason: "fragment" };
    const backend = ports.get((parsed.tuple.sourcePort[0]! << 8) | parsed.tuple.sourcePort[1]!);
    if (backend === undefined) return { verdict: "drop", reason: "no-backend" };
    const sent = this.#send(packet, parsed, { backend, track: TRACK_NONE }, {}, "probe");
    const { verdict = "drop", reason = "", out } = sent;
    return { verdict, reason: verdict === "forward" ? "probe" : reason, ...(out && { out }) };
  }

  /** §3: an ICMP error goes where its flow goes, and leaves no trace. */
  #deliver(packet: Uint8Array, error: IcmpError, key: bigint): Partial<Outcome> {
    const refused = this.#sources.refusal(error.ip.source, error.ip.destination);
    if (refused) return { verdict: "drop", reason: refused };
    const delivered = (outcome: Partial<Outcome>): Partial<Outcome> =>
      outcome.verdict === "forward" ? { ...outcome, reason: "icmp-error" } : outcome;
    const found = this.#conntrack.look(key);
    if (found) return delivered(this.#send(packet, error, found, {}));
    const table = this.table(error.service.vip.pool);
    if (table.length === 0) return { verdict: "drop", reason: "no-backend" };
    const slot = slotOf(tableHash(this.#setup.seed, error.tuple), table.length);
    const chosen = { backend: table[slot]!, track: TRACK_NONE };
    return delivered(this.#send(packet, error, chosen, { slot }));
  }

  /** §10. */
  #fragment(packet: Uint8Array, fragment: Fragment, outcome: Outcome): Outcome {
    const { ip, identification, isFirst } = fragment;
    const shard = addressKey(this.#setup.secret, fragment) & 255n;
    const tag = datagramTag(this.#setup.secret, fragment.tuple, identification);
    const bytes = (from: number) => packet.slice(ip.l4 + from, ip.l4 + from + 2);
    const ownPorts = { sourcePort: bytes(0), destinationPort: bytes(2) };
    if (isFirst && field(packet, ip.l4, 4) === 0) return Object.assign(outcome, { reason: "fragment" });
    const ports = isFirst ? ownPorts : this.#fragments.known(shard, tag);
    const end = (found: Ports | undefined) => {
      const decided = found
        ? this.#follow(packet, fragment, found)
        : { verdict: "drop" as const, reason: "fragment-timeout" };
      Object.assign(outcome, decided);
    };
    if (ports) {
      if (isFirst) this.#fragments.learn(shard, tag, ports);
      end(ports);
      if (isFirst) this.#fragments.release(shard, tag, ports);
    } else {
      outcome.reason = this.#fragments.hold(shard, tag, end) ? "held" : "fragment-limit";
    }
    return outcome;
  }

  /** A fragment whose ports are known is like any packet of its flow. */
  #follow(packet: Uint8Array, fragment: Fragment, ports: Ports): Partial<Outcome> {
    const { ip, tuple, tcpFlags, isFirst } = fragment;
    if (!fragment.service) return this.#followAnswer(packet, fragment, ports);
    const service = this.#services.find(ip.destination, ip.protocol, field(ports.destinationPort, 0, 2));
    if (!service) return { verdict: "drop", reason: "fragment" };
    const whole = { ...tuple, ...ports };
    const flow: Flow & Part = { step: "flow", ip, service, tuple: whole, tcpFlags, isLater: !isFirst };
    const key = this.#keyOf(flow);
    const known = { service: service.number, vip: service.vip.name, key };
    const guarded = this.#guarded(flow);
    if (guarded) return { ...known, verdict: "drop", reason: guarded };
    return { ...known, ...this.#forward(packet, flow, key) };
  }

  #followAnswer(packet: Uint8Array, fragment: Fragment, ports: Ports): Partial<Outcome> {
    const answer = answerOf(fragment.ip, this.#origins, ports, fragment.tcpFlags);
    if (!answer) return { verdict: "drop", reason: "fragment" };
    const { service } = answer;
    const key = this.#keyOf(answer);
    const known = { service: service.number, vip: service.vip.name, key };
    return { ...known, ...this.#answer(packet, { ...answer, isLater: !fragment.isFirst }, key) };
  }

  /** §9. Undefined for a packet without the server id of a usable backend. */
  #byServerId(packet: Uint8Array, flow: Flow): Partial<Outcome> | undefined {
    const named = namedBackend(packet, flow, [...this.#backends.values()])?.id;
    if (named === undefined) return undefined;
    const refused = this.#sources.refusal(flow.ip.source, flow.ip.destination);
    if (refused) return { verdict: "drop", reason: refused };
    return this.#send(packet, flow, { backend: named, track: TRACK_NONE }, {}, "server-id");
  }

  #forward(packet: Uint8Array, flow: Flow & Part, key: bigint): Partial<Outcome> {
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

  /** §11: an answer goes back to the client, whether its flow is known or not. */
  #answer(packet: Uint8Array, answer: Answer & Part, key: bigint): Partial<Outcome> {
    const { ip, origin, tcpFlags, quoted } = answer;
    // An ICMP error about a client's packet leaves no trace.
    const track = quoted ? TRACK_NONE : this.#conntrack.answer(key, origin.backend.id, tcpFlags);
    const known = { backend: origin.backend.name, tracked: track !== TRACK_NONE, track };
    const { clientRouter, interfaces } = this.#setup;
    if (clientRouter === undefined) return { ...known, verdict: "drop", reason: "no-route" };
    const egress = interfaces[0]!;
    if (ip.length > egress.mtu) return { ...known, verdict: "drop", reason: "too-big" };
    const body = translatedBack(packet, answer);
    if (typeof body === "string") return { ...known, verdict: "drop", reason: body };
    return { ...known, verdict: "forward", reason: "return", out: withMacs(body, clientRouter, egress.mac) };
  }

  /** §5. The connection table has been written by now, whatever becomes of the packet. */
  #send(
    packet: Uint8Array,
    flow: Keyed & Part,
    track: Track,
    chosen: { slot?: number },
    reason = "new",
  ): Partial<Outcome> {
    const backend = this.#backends.get(track.backend)!;
    const tracked = track.track === TRACK_HIT || track.track === TRACK_HIT_AWAY;
    const known = { ...chosen, backend: backend.name, tracked, track: track.track };
    const { vip } = flow.service;
    if (backend.mac === undefined) return { ...known, verdict: "drop", reason: "unresolved" };
    const egress = this.#setup.interfaces[backend.interface ?? 0]!;
    if (vip.forward === "nat") {
      if (flow.ip.length > egress.mtu) {
        const reply = reason === "probe" ? undefined : this.#tooBigReply(packet, flow, egress.mtu, false);
        return { ...known, ...(reply ?? { verdict: "drop", reason: "too-big" }) };
      }
      const { address, port } = backend;
      if (familyOf(address) !== flow.ip.family) return { ...known, verdict: "drop", reason: "no-backend" };
      const to = { end: "destination", address, port } as const;
      const translation = flow.quoted
        ? translatedError(packet, flow.ip, flow.quoted, to)
        : translated(packet, flow.ip, to, flow.isLater);
      if (typeof translation === "string") return { ...known, verdict: "drop", reason: translation };
      const out = withMacs(translation, backend.mac, egress.mac);
      return { ...known, verdict: "forward", reason: tracked ? "hit" : reason, out };
    }
    const { mac } = backend;
    const key = this.#keyOf(flow);
    const { machine } = this.#setup;
    const outer = vip.forward === "l2" ? undefined : tunnelled(packet, flow, key, backend.address, machine);
    const leave = (outer?: Uint8Array) =>
      withMacs(outer ? framed(packet, flow.ip, outer) : packet, mac, egress.mac);
    const forwarded = { ...known, verdict: "forward", reason: tracked ? "hit" : reason } as const;
    if ((outer?.length ?? flow.ip.length) <= egress.mtu) return { ...forwarded, out: leave(outer) };
    if (reason === "probe") return { ...known, verdict: "drop", reason: "too-big" };

    const added = (outer?.length ?? flow.ip.length) - flow.ip.length;
    const reply = this.#tooBigReply(packet, flow, egress.mtu - added, outer !== undefined && vip.fragment);
    if (reply) return { ...known, ...reply };
    const identify = (bits: 16 | 32) => this.#identifications.next(key, bits);
    const pieces = outer && fragments(outer, egress.mtu, identify(outer[0]! >> 4 === 4 ? 16 : 32));
    if (!pieces) return { ...known, verdict: "drop", reason: "too-big" };
    const [out, ...rest] = pieces.map(leave);
    return { ...forwarded, out: out!, fragments: rest };
  }

  #keyOf({ service, tuple }: Keyed): bigint {
    return flowKey(this.#setup.secret, tuple, service.number, service.wide);
  }

  /** What becomes of a packet that is too big and must not be fragmented; undefined when it is to be. */
  #tooBigReply(
    packet: Uint8Array,
    flow: Keyed,
    room: number,
    fragment: boolean,
  ): Partial<Outcome> | undefined {
    const { ip } = flow;
    const least = LEAST_MTU[ip.family];
    if (fragment || ip.length <= least || !mustBeWhole(packet, ip)) return undefined;
    const answerable = mayBeAnswered(packet, ip) && !this.#sources.refusal(ip.source, ip.destination);
    const mayAnswer = () =>
      this.#setup.icmpErrorsPerSecond > 0 && this.#errors.enter(this.#keyOf(flow), this.#conntrack.clockMs);
    if (!answerable || !mayAnswer()) return { verdict: "drop", reason: "too-big" };
    const out = tooBigReply(packet, ip, Math.max(room, least));
    return { verdict: "reply", reason: "too-big-replied", out };
  }
}
