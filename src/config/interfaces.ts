import { readdirSync, readFileSync } from "node:fs";
import { HEADROOM } from "../../assembly/layout.ts";

/** What the kernel says of a network interface of this machine. */
export interface InterfaceFacts {
  name: string;
  ifindex: number;
  /** MAC address as text. */
  mac: string;
  /** Most bytes of an IP packet. */
  mtu: number;
  /** Receive queues. */
  queues: number;
}

/** An Ethernet header and two VLAN tags, bytes. */
const FRAME_OVERHEAD = 14 + 8;

/** Greatest MTU whose packets fit into a frame of so many bytes. */
export function largestMtu(frameBytes: number): number {
  return frameBytes - HEADROOM - FRAME_OVERHEAD;
}

/** Facts of an interface from sysfs (Documentation/ABI/testing/sysfs-class-net); undefined where there is none. */
export function readInterface(name: string): InterfaceFacts | undefined {
  try {
    const directory = `/sys/class/net/${name}`;
    const read = (file: string) => readFileSync(`${directory}/${file}`, "utf8").trim();
    const mtu = Number(read("mtu"));
    const queues = readdirSync(`${directory}/queues`).filter((queue) => queue.startsWith("rx-")).length;
    return { name, ifindex: Number(read("ifindex")), mac: read("address"), mtu, queues };
  } catch {
    return undefined;
  }
}
