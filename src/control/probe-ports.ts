// Source ports of `via: tunnel` checks: one for each backend that is checked. A worker forwards what comes by the probe link
// to the backend that the arena's table of probes names for the packet's source port (docs/datapath.md §7).

import * as L from "../../assembly/layout.ts";
import { addressFamily } from "../config/address.ts";
import { containsPort, samplePort } from "../config/ports.ts";
import type { Config, VipConfig } from "../config/schema.ts";
import { Destinations } from "../config/service-lookup.ts";
import type { Engine } from "../dataplane/engine.ts";
import { GuidewayError } from "../errors.ts";

/** How to reach one backend through the data plane: bind to the local end, connect to the VIP. */
export interface ProbePort {
  localAddress: string;
  localPort: number;
  vip: { name: string; address: string; port: number };
}

export interface ProbeTarget {
  /** Default: the first of the VIP; 80 where it has every port. */
  port?: number | undefined;
  /** Default: tcp. */
  protocol?: "tcp" | "udp";
}

export class ProbePorts {
  readonly #engine: Engine;
  readonly #config: Config;
  /** By backend id. */
  readonly #ports = new Map<number, number>();
  readonly #free: number[] = [];
  #next: number;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#config = engine.config;
    this.#next = this.#config.forwarder.probe.firstPort;
  }

  /**
   * The way to a backend of a pool, the same whenever it is asked for.
   * @throws GuidewayError UNKNOWN without such a backend; PROBE_PORT when no VIP of the pool fits, or no port is left
   */
  portOf(pool: string, backend: string, target: ProbeTarget = {}): ProbePort {
    const { id } = this.#engine.directory.backend(pool, backend);
    const { vip, localAddress } = this.#vipOf(pool, target);
    const port = target.port ?? samplePort(vip.port[0]!);
    const address = new Destinations(this.#engine.directory).addressOf(vip, target.protocol ?? "tcp", port);
    return {
      localAddress,
      localPort: this.#ports.get(id) ?? this.#allocate(id),
      vip: { name: vip.name, address, port },
    };
  }

  /**
   * The local end of checks of a backend that go to one VIP of its pool; undefined when this machine has no address of the
   * VIP's family, or the backend is not in force.
   * @throws GuidewayError PROBE_PORT when no port is left
   */
  endOf(
    pool: string,
    name: string,
    vip: VipConfig,
  ): Pick<ProbePort, "localAddress" | "localPort"> | undefined {
    const { address, address6 } = this.#config.machine;
    const localAddress = addressFamily(vip.address) === 4 ? address : address6;
    const backend = this.#engine.directory.backendsOf(pool).find(({ config }) => config.name === name);
    if (localAddress === undefined || !backend) return undefined;
    return { localAddress, localPort: this.#ports.get(backend.id) ?? this.#allocate(backend.id) };
  }

  #vipOf(pool: string, { port, protocol = "tcp" }: ProbeTarget): { vip: VipConfig; localAddress: string } {
    const { address, address6 } = this.#config.machine;
    const fitting = this.#engine.directory.vips.filter(
      (vip) =>
        vip.pool === pool &&
        (vip.protocol === protocol || vip.protocol === "any") &&
        (port === undefined || vip.port.some((ports) => containsPort(ports, port))),
    );
    for (const vip of fitting) {
      const localAddress = addressFamily(vip.address) === 4 ? address : address6;
      if (localAddress !== undefined) return { vip, localAddress };
    }
    const [first] = fitting;
    throw new GuidewayError(
      "PROBE_PORT",
      first
        ? `pools.${pool}: checks "via: tunnel" to ${first.address} need ${addressFamily(first.address) === 4 ? "machine.address" : "machine.address6"}, an address of this machine to come from`
        : `pools.${pool}: no VIP of the pool has ${protocol}${port === undefined ? "" : ` port ${port}`}: checks "via: tunnel" go to a VIP`,
    );
  }

  #allocate(id: number): number {
    const { firstPort, ports } = this.#config.forwarder.probe;
    let port = this.#free.pop();
    if (port === undefined) {
      if (this.#next >= firstPort + ports) {
        throw new GuidewayError(
          "PROBE_PORT",
          `forwarder.probe.ports: all ${ports} source ports are taken, expected one for each backend that is checked "via: tunnel"`,
        );
      }
      port = this.#next++;
    }
    this.#ports.set(id, port);
    this.#write(port, id);
    return port;
  }

  /** Gives the port of a backend back: what still comes from it is dropped. */
  release(id: number): void {
    const port = this.#ports.get(id);
    if (port === undefined) return;
    this.#ports.delete(id);
    this.#write(port, 0);
    this.#free.push(port);
  }

  #write(port: number, id: number): void {
    const { arena } = this.#engine;
    Atomics.store(arena.u16, arena.plan.regions.probes.offset / L.PROBE_BYTES + port, id);
  }
}
