// The data path once more: a plain, slow, obvious implementation of docs/datapath.md, one packet at a time,
// that shares no code with the engine. Where the two differ, one of them or the document is wrong.

import { TRACK_HIT, TRACK_HIT_AWAY, TRACK_NONE } from "../../assembly/layout.ts";
import { addressBytes, familyOf } from "./bytes.ts";
import { Conntrack, type Track } from "./conntrack.ts";
import { flowKey, slotOf, tableHash } from "./flowkey.ts";
import { maglevTable } from "./maglev.ts";
import { Origins, translated } from "./nat.ts";
import { type Parsed, parse } from "./parse.ts";
import { echoReply, encapsulate, withMacs } from "./rewrite.ts";
import { Services } from "./services.ts";
import type { BackendSetup, BackendState, ModelSetup } from "./setup.ts";

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
}

type Flow = Extract<Parsed, { step: "flow" }>;
type Answer = Extract<Parsed, { step: "answer" }>;

/** Bytes in front of a received packet, out of the frame's. */
const HEADROOM = 256;

export class Model {
  readonly #setup: ModelSetup;
  readonly #services: Services;
  readonly #origins: Origins;
  readonly #conntrack: Conntrack;
  readonly #backends = new Map<number, BackendSetup>();
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
    for (const backend of backends) this.#backends.set(backend.id, { ...backend });
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

    const parsed = parse(packet, this.#services, this.#origins);
    if (parsed.service && parsed.tuple) {
      outcome.service = parsed.service.number;
      outcome.vip = parsed.service.vip.name;
      const { number, wide } = parsed.service;
      outcome.key = flowKey(this.#setup.secret, parsed.tuple, number, wide);
    }
    if (parsed.step === "done") return { ...outcome, verdict: parsed.verdict, reason: parsed.reason };
    if (parsed.step === "echo") {
      return { ...outcome, verdict: "reply", reason: "echo", out: echoReply(packet, parsed.ip) };
    }
    if (parsed.step === "answer") return { ...outcome, ...this.#answer(packet, parsed, outcome.key) };
    return { ...outcome, ...this.#forward(packet, parsed, outcome.key) };
  }

  /** §7: a self-test of a worker always goes back. @returns its bytes, rewritten or as they came */
  selfTest(packet: Uint8Array): Uint8Array {
    const parsed = parse(packet, this.#services, this.#origins);
    if (parsed.step !== "flow") return packet;
    const table = this.table(parsed.service.vip.pool);
    if (table.length === 0) return packet;
    const backend = table[slotOf(tableHash(this.#setup.seed, parsed.tuple), table.length)]!;
    return this.#send(packet, parsed, { backend, track: TRACK_NONE }, {}).out ?? packet;
  }

  /** §7: a packet by a port for health checks. `ports` are backend ids by source port. */
  probe(packet: Uint8Array, ports: ReadonlyMap<number, number>): Pick<Outcome, "verdict" | "reason" | "out"> {
    const parsed = parse(packet, this.#services, this.#origins);
    if (parsed.step === "done") return { verdict: parsed.verdict, reason: parsed.reason };
    if (parsed.step === "echo")
      return { verdict: "reply", reason: "echo", out: echoReply(packet, parsed.ip) };
    if (parsed.step === "answer") {
      const key = flowKey(this.#setup.secret, parsed.tuple, parsed.service.number, parsed.service.wide);
      const { verdict = "drop", reason = "", out } = this.#answer(packet, parsed, key);
      return { verdict, reason, ...(out && { out }) };
    }
    const backend = ports.get((parsed.tuple.sourcePort[0]! << 8) | parsed.tuple.sourcePort[1]!);
    if (backend === undefined) return { verdict: "drop", reason: "no-backend" };
    const {
      verdict = "drop",
      reason = "",
      out,
    } = this.#send(packet, parsed, { backend, track: TRACK_NONE }, {});
    return { verdict, reason: verdict === "forward" ? "probe" : reason, ...(out && { out }) };
  }

  #forward(packet: Uint8Array, flow: Flow, key: bigint): Partial<Outcome> {
    const found = this.#conntrack.hit(key, flow.tcpFlags);
    if (found) return this.#send(packet, flow, found, {});
    const table = this.table(flow.service.vip.pool);
    if (table.length === 0) return { verdict: "drop", reason: "no-backend" };
    const slot = slotOf(tableHash(this.#setup.seed, flow.tuple), table.length);
    return this.#send(packet, flow, this.#conntrack.insert(key, table[slot]!, flow.tcpFlags), { slot });
  }

  /** §8: an answer goes back to the client, whether its flow is known or not. */
  #answer(packet: Uint8Array, { ip, origin, tcpFlags }: Answer, key: bigint): Partial<Outcome> {
    const { backend, service, port } = origin;
    const track = this.#conntrack.answer(key, backend.id, tcpFlags);
    const known = { backend: backend.name, tracked: track !== TRACK_NONE, track };
    const router = this.#setup.clientRouter;
    if (router === undefined) return { ...known, verdict: "drop", reason: "no-route" };
    const egress = this.#setup.interfaces[0]!;
    if (ip.length > egress.mtu) return { ...known, verdict: "drop", reason: "too-big" };
    const body = translated(packet, ip, { end: "source", address: service.vip.address, port });
    if (typeof body === "string") return { ...known, verdict: "drop", reason: body };
    return { ...known, verdict: "forward", reason: "return", out: withMacs(body, router, egress.mac) };
  }

  /** §5. The connection table has been written by now, whatever becomes of the packet. */
  #send(packet: Uint8Array, flow: Flow, track: Track, chosen: { slot?: number }): Partial<Outcome> {
    const backend = this.#backends.get(track.backend)!;
    const tracked = track.track === TRACK_HIT || track.track === TRACK_HIT_AWAY;
    const known = { ...chosen, backend: backend.name, tracked, track: track.track };
    if (backend.mac === undefined) return { ...known, verdict: "drop", reason: "unresolved" };
    const egress = this.#setup.interfaces[backend.interface ?? 0]!;
    const { machine } = this.#setup;
    const { vip } = flow.service;
    let body: Uint8Array | undefined = packet;
    if (vip.forward === "gre") {
      const source = familyOf(backend.address) === 4 ? machine.address : machine.address6;
      if (source === undefined) throw new Error(`the machine has no address to reach ${backend.address}`);
      const tunnel = { source, destination: backend.address, ttl: vip.ttl, mtu: egress.mtu };
      body = encapsulate(packet, flow.ip, tunnel);
    }
    if (vip.forward === "nat") {
      if (flow.ip.length > egress.mtu) return { ...known, verdict: "drop", reason: "too-big" };
      const { address, port } = backend;
      if (familyOf(address) !== flow.ip.family) return { ...known, verdict: "drop", reason: "no-backend" };
      const translation = translated(packet, flow.ip, { end: "destination", address, port });
      if (typeof translation === "string") return { ...known, verdict: "drop", reason: translation };
      body = translation;
    }
    if (!body) return { ...known, verdict: "drop", reason: "too-big" };
    const out = withMacs(body, backend.mac, egress.mac);
    return { ...known, verdict: "forward", reason: tracked ? "hit" : "new", out };
  }
}
