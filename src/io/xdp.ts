// The kernel's side of the engine: an AF_XDP socket for every worker on every queue of every interface, and
// the XDP program that steers packets to them.
//
//   state     entered by   packets of VIPs go
//   opened    constructor  to the host: the program is not attached yet
//   attached  attach()     to the workers
//   detached  detach()     to the host; what is in the rings can be drained
//   closed    close()      —
//
// All of it goes with the process: sockets are descriptors, and the program is attached by bpf_link.

import * as L from "../../assembly/layout.ts";
import { type InterfaceFacts, readInterface } from "../config/interfaces.ts";
import { isWildcard, type Service, serviceKey } from "../config/services.ts";
import type { NextHop } from "../dataplane/backend-records.ts";
import type { Engine } from "../dataplane/engine.ts";
import type { Slot } from "../dataplane/steering.ts";
import { GuidewayError } from "../errors.ts";
import { macBytes } from "../mac.ts";
import {
  asking,
  loadNative,
  type Native,
  type Socket,
  type SocketOptions,
  type SocketStatistics,
  type XdpProgram,
} from "../native.ts";
import { WildcardSteering } from "./wildcard-steering.ts";

/** An interface as it was opened. */
export interface XdpInterface extends InterfaceFacts {
  /** How the kernel hands packets over. */
  sockets: "zero-copy" | "copy";
  /** Where the program runs; undefined until it is attached. */
  program: "native" | "generic" | undefined;
}

interface OpenSocket {
  fd: number;
  worker: number;
  /** Index of its interface; NO_INTERFACE for the one that probes come by. */
  interface: number;
}

/** The workers' end of the link by which probes of backends come. */
export interface ProbeInterface extends InterfaceFacts {
  /** MAC address of the host's end, as text. */
  hostMac: string;
}

/** How long the kernel looks for packets at each call of a worker that busy-polls. */
const BUSY_POLL_US = 20;
/** Frames that the interface for probes has to receive into. */
const PROBE_FRAMES = 256;

/**
 * Facts of the configured interfaces.
 * @throws GuidewayError INTERFACE when one does not exist
 */
export function findInterfaces(names: readonly string[]): InterfaceFacts[] {
  return names.map((name) => {
    const facts = readInterface(name);
    if (facts) return facts;
    throw new GuidewayError(
      "INTERFACE",
      `interfaces: there is no interface ${JSON.stringify(name)} here; "ip -brief link" lists those of this network namespace`,
      { exitCode: 2 },
    );
  });
}

export class XdpPorts {
  readonly #engine: Engine;
  readonly #native: Native;
  readonly #program: XdpProgram;
  readonly #wildcards: WildcardSteering;
  readonly #open: OpenSocket[] = [];
  readonly #probe: ProbeInterface | undefined;
  readonly interfaces: XdpInterface[] = [];
  /** By the interface for probes, to the host's end of it; undefined where that is not there, or has no record of its own. */
  wayToHost: NextHop | undefined;

  /**
   * Opens the sockets and wires them to the engine.
   * @param probe the interface by which probes of backends come (src/control/probe-link.ts); nothing but answers to them is
   * forwarded by it
   * @throws GuidewayError with the addon's code when the kernel refuses; everything opened so far is closed again
   */
  constructor(engine: Engine, facts: readonly InterfaceFacts[], secret: Uint8Array, probe?: ProbeInterface) {
    this.#engine = engine;
    this.#probe = probe;
    this.#native = loadNative();
    const all = probe ? [...facts, probe] : facts;
    const queues = Math.max(...all.map((each) => each.queues));
    const sizes = {
      sockets: all.length * queues * L.MAX_WORKERS,
      services: L.MAX_SERVICES + 2 * L.MAX_RETURNS + L.MAX_OWN,
      interfaces: all.length,
    };
    this.#program = asking(() => this.#native.XdpProgram.load(sizes));
    this.#wildcards = new WildcardSteering(this.#program);
    this.#program.setSecret(secret);
    this.steer();
    this.addServices(engine.directory.services);
    this.addSlots(engine.directory.slots);
    try {
      const base = (index: number) => index * queues * L.MAX_WORKERS;
      for (const [index, each] of facts.entries()) this.#openInterface(each, index, base(index));
      if (probe) this.#openProbe(probe, facts.length, base(facts.length));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #openInterface(facts: InterfaceFacts, index: number, base: number): void {
    this.#engine.directory.setInterface(index, {
      mac: macBytes(facts.mac),
      mtu: facts.mtu,
    });
    const mode = this.#openQueues(facts, index, base);
    this.interfaces.push({ ...facts, sockets: mode, program: undefined });
  }

  /** The record behind those of the configured interfaces, where there is room for one. */
  #openProbe(probe: ProbeInterface, index: number, base: number): void {
    const hasRecord = index < L.MAX_INTERFACES;
    this.#openQueues(probe, hasRecord ? index : L.NO_INTERFACE, base, true);
    if (!hasRecord) return;
    this.#engine.directory.setInterface(index, { mac: macBytes(probe.mac), mtu: probe.mtu });
    this.wayToHost = { mac: macBytes(probe.hostMac), interface: index };
  }

  /** @param index of the interface's record; NO_INTERFACE for none */
  #openQueues(facts: InterfaceFacts, index: number, base: number, probes = false): XdpInterface["sockets"] {
    this.#program.setInterface(facts.ifindex, base, facts.queues, macBytes(facts.mac));
    let mode: XdpInterface["sockets"] = "zero-copy";
    for (let queue = 0; queue < facts.queues; queue++) {
      const first = this.#openSocket(facts, index, queue, 0, undefined);
      const rings = { fill: first.fill!, completion: first.completion! };
      const number = this.#engine.wiring.addQueue(rings, probes ? PROBE_FRAMES : 0);
      for (let worker = 0; worker < this.#engine.workers; worker++) {
        const socket = worker === 0 ? first : this.#openSocket(facts, index, queue, worker, first.fd);
        const port = { rx: socket.rx, tx: socket.tx, socket: socket.fd };
        this.#engine.wiring.addPort(worker, number, index, port, probes ? "probe" : "traffic");
        this.#program.setSocket(base + queue * L.MAX_WORKERS + worker, socket.fd);
        if (socket.mode === "copy") mode = "copy";
      }
    }
    return mode;
  }

  #openSocket(
    facts: InterfaceFacts,
    index: number,
    queue: number,
    worker: number,
    sharedWith?: number,
  ): Socket {
    const { rings, arena } = this.#engine;
    const { plan } = arena;
    const { offset, bytes } = plan.regions.frames;
    const own = sharedWith === undefined;
    const options: SocketOptions = {
      interface: facts.name,
      queue,
      frames: { offset, bytes, frameBytes: plan.frameBytes },
      rings: {
        rx: rings.take(plan.packetRingBytes),
        tx: rings.take(plan.packetRingBytes),
        ...(own && { fill: rings.take(plan.frameRingBytes), completion: rings.take(plan.frameRingBytes) }),
      },
      entries: {
        rx: plan.packetRingEntries,
        tx: plan.packetRingEntries,
        ...(own && { fill: plan.frameRingEntries, completion: plan.frameRingEntries }),
      },
      ...(!own && { sharedWith }),
      mode: "auto",
      ...(this.#engine.config.workers.busyPoll && { busyPollUs: BUSY_POLL_US }),
    };
    const socket = asking(() => this.#native.openSocket(arena.u8, options));
    this.#open.push({ fd: socket.fd, worker, interface: index });
    return socket;
  }

  /** Descriptors by worker. */
  get sockets(): number[][] {
    return Array.from({ length: this.#engine.workers }, (_, worker) =>
      this.#open.filter((socket) => socket.worker === worker).map((socket) => socket.fd),
    );
  }

  /** Steers packets to the owners of their shards as they are now. */
  steer(): void {
    this.#program.setShardOwners(this.#engine.owners.map);
  }

  /** Packets for these go to the workers from here on, where the program is attached. */
  addServices(services: readonly Service[]): void {
    for (const service of services.filter((each) => !isWildcard(each)))
      this.#program.setService(keyOf(service), service.number);
    this.#wildcards.add(services.filter(isWildcard));
  }

  /** Packets for these go to the host from here on. */
  removeServices(services: readonly Service[]): void {
    for (const service of services.filter((each) => !isWildcard(each)))
      this.#program.deleteService(keyOf(service));
    this.#wildcards.remove(services.filter(isWildcard));
  }

  /** What backends answer from these places goes to the workers from here on; for addresses of the host it does not. */
  addSlots(slots: readonly Slot[]): void {
    for (const { key, value } of slots) this.#program.setService(key, value);
  }

  removeSlots(slots: readonly Slot[]): void {
    for (const { key } of slots) this.#program.deleteService(key);
  }

  /** From here on packets of VIPs go to the workers. */
  attach(): void {
    for (const each of this.interfaces) each.program = asking(() => this.#program.attach(each.name, "auto"));
    const probe = this.#probe;
    if (probe) asking(() => this.#program.attach(probe.name, "auto"));
  }

  detach(): void {
    this.#program.detachAll();
    for (const each of this.interfaces) each.program = undefined;
  }

  /** Whether the program is still attached to an interface. */
  isAttached(name: string): boolean {
    return asking(() => this.#program.isAttached(name));
  }

  /** What the kernel counted, summed over the sockets of an interface. */
  statistics(interfaceIndex: number): SocketStatistics {
    const sum: SocketStatistics = {
      rxDropped: 0,
      rxInvalidDescriptors: 0,
      txInvalidDescriptors: 0,
      rxRingFull: 0,
      rxFillRingEmpty: 0,
      txRingEmpty: 0,
    };
    for (const socket of this.#open) {
      if (socket.interface !== interfaceIndex) continue;
      const statistics = this.#native.socketStatistics(socket.fd);
      for (const key of Object.keys(sum) as (keyof SocketStatistics)[]) sum[key] += statistics[key];
    }
    return sum;
  }

  /** Closes the sockets. No worker may run any more. */
  close(): void {
    this.#program.detachAll();
    // Sockets that share a queue go before the queue's first.
    for (const { fd } of this.#open.splice(0).reverse()) this.#native.closeSocket(this.#engine.arena.u8, fd);
  }
}

/** @param service of one address and port */
function keyOf({ address, protocol, port }: Service): Uint8Array {
  return serviceKey({ address, protocol, port: Number(port) });
}
