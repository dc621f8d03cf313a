// The two ends of the measurement: a veth pair, and an AF_XDP socket with an arena of its own on each end.

import { execFileSync } from "node:child_process";
import { parseConfig } from "../../src/config/load.ts";
import { Engine } from "../../src/dataplane/engine.ts";
import { findInterfaces, XdpPorts } from "../../src/io/xdp.ts";
import { findTool } from "../../src/lab/process.ts";
import { macBytes } from "../../src/mac.ts";
import { loadNative } from "../../src/native.ts";
import type { Frames, SocketRings } from "./addon.ts";

export const VIP = { address: "10.99.0.1", protocol: "udp", port: 80 } as const;
/** Locally administered; the ends of the wire. */
const MACS = { sender: "02:00:00:00:02:01", forwarder: "02:00:00:00:02:02" } as const;
export type End = keyof typeof MACS;
const SECRET = new Uint8Array(32).fill(7);
const CONNTRACK_FLOWS = 65_536;

function run(tool: string, ...args: string[]): void {
  execFileSync(findTool(tool) ?? tool, args, { stdio: ["ignore", "ignore", "inherit"], timeout: 10_000 });
}

/** Makes the pair, in the network namespace of this process. */
export function createLink(): void {
  run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1");
  run(
    "ip",
    "link",
    "add",
    "forwarder",
    "numrxqueues",
    "1",
    "numtxqueues",
    "1",
    "type",
    "veth",
    "peer",
    "name",
    "sender",
    "numrxqueues",
    "1",
    "numtxqueues",
    "1",
  );
  for (const [name, mac] of Object.entries(MACS)) {
    run("ip", "link", "set", "dev", name, "address", mac, "up");
    run("ethtool", "-K", name, "tx", "off", "tso", "off", "gso", "off", "gro", "off");
  }
}

/** A balancer on one end, whose only backend is the other end. */
export class Station {
  readonly engine: Engine;
  readonly ports: XdpPorts;

  constructor(end: End) {
    const other: End = end === "sender" ? "forwarder" : "sender";
    const document = {
      interfaces: [end],
      workers: { count: 1 },
      conntrack: { flows: CONNTRACK_FLOWS },
      pools: {
        other: { tableSize: 251, backends: [{ name: other, address: "10.0.0.21", mac: MACS[other] }] },
      },
      vips: [{ name: "bench", ...VIP, pool: "other" }],
    };
    const { config } = parseConfig(JSON.stringify(document), "bench nic");
    const words = new BigUint64Array(SECRET.slice().buffer);
    this.engine = new Engine(config, { queues: 1, workers: 1 }, [...words]);
    const { u8, plan } = this.engine.arena;
    try {
      loadNative().adviseHugePages(u8, plan.regions.frames.offset, plan.regions.frames.bytes);
    } catch {
      // Slower, on both sides of the comparison.
    }
    this.ports = new XdpPorts(this.engine, findInterfaces([end]), SECRET);
    this.engine.directory.setNextHop(1, { mac: macBytes(MACS[other]), interface: 0 });
  }

  get socket(): SocketRings {
    const [port] = this.engine.wiring.ports;
    const [queue] = this.engine.wiring.queues;
    const { sockets: mode } = this.ports.interfaces[0]!;
    return { fd: port!.socket!, mode, rx: port!.rx, tx: port!.tx, ...queue! };
  }

  get frames(): Frames {
    const { regions, frameBytes } = this.engine.arena.plan;
    return { ...regions.frames, frameBytes };
  }

  /** MAC address of this end. */
  static mac(end: End): Uint8Array {
    return macBytes(MACS[end]);
  }
}
