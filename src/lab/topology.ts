/**
 * The lab as data: nodes, links, addresses and routes, without touching the machine.
 *
 *     client ───── router ═══════════ br0 (in the router's namespace)
 *     10.0.1.2     10.0.1.1 10.0.0.1   │
 *     fd00:1::2    fd00:1::1 fd00::1   ├── lb1 10.0.0.11 fd00::11   lb2 …12
 *                                      └── be1 10.0.0.21 fd00::21   be2 …22   each with the VIPs on lo
 *
 * A node is one network namespace. A link is one veth pair; switch ports are its ends in the router. The VIPs are
 * routed by the router (to balancers, see `Lab.routeVips`), and backends answer through the router: direct server return. With
 * `forward: nat` they answer through lb1, and do not hold the VIPs.
 *
 * With `arms: 2` there are two segments: balancers stand on both (eth0 on br0, eth1 on br1), backends on br1 only.
 */
import { isIP } from "node:net";
import { LabError } from "./errors.ts";

export type Family = "v4" | "v6";
export type Role = "client" | "router" | "balancer" | "backend";
/**
 * How balancers of this lab deliver: the tunnels put a decapsulator on the backends and leave room in their TCP segments; with
 * `nat` backends have no VIPs, and answer through lb1.
 */
export const TUNNELS = ["gre", "ipip", "gue"] as const;
export const FORWARDS = ["l2", ...TUNNELS, "nat"] as const;
export type Forward = (typeof FORWARDS)[number];

export interface TopologyOptions {
  /** Namespaces are called PREFIX-NODE. A lower-case letter, then up to 7 lower-case letters and digits. */
  prefix: string;
  balancers?: number;
  backends?: number;
  /** RX and TX queues of every interface. */
  queues?: number;
  /** Addresses or prefixes that the backends hold on lo. */
  vips?: string[];
  forward?: Forward;
  /** MTU of every link. Native XDP on a veth allows 3506 at most. */
  mtu?: number;
  /** Interfaces per balancer: 1, or 2 with the backends on the second. */
  arms?: number;
}

/** One end of a veth pair. */
export interface LinkEnd {
  node: string;
  device: string;
  mac: string;
  /** With prefix length; none on a switch port. */
  addresses: string[];
  /** The bridge of the same node that it is a port of. */
  bridge?: string;
  /** Program of native/bpf/decap.bpf.c that is attached in native mode. */
  xdp?: "pass" | "decap";
}

export interface Link {
  ends: [LinkEnd, LinkEnd];
  mtu: number;
  queues: number;
}

export interface Bridge {
  node: string;
  device: string;
  mac: string;
  mtu: number;
  addresses: string[];
}

export interface Route {
  to: string;
  via: string;
  /** The TCP segment size that is offered to clients, in bytes. */
  advmss?: number;
}

export interface TopologyNode {
  name: string;
  role: Role;
  namespace: string;
  /** Addresses of lo besides the loopback's own. */
  loopback: string[];
  routes: Route[];
}

export interface Topology {
  prefix: string;
  forward: Forward;
  vips: string[];
  nodes: TopologyNode[];
  links: Link[];
  bridges: Bridge[];
}

export const DEFAULT_VIPS = ["10.99.0.1", "fd99::1"];
export const MAX_BALANCERS = 9;
export const MAX_BACKENDS = 79;

const PREFIX = /^[a-z][a-z0-9]{0,7}$/;
const NODE = /^(client|router|lb[1-9]|be[1-9][0-9]?)$/;
/** What a segment has to leave room for: outer IPv6 (40), UDP (8), and 4 for a GUE header of variant 0; others need less. */
const TUNNEL_BYTES = 52;

/** Where segment `index` lives; both networks also number its nodes. */
function segment(index: number) {
  return index === 0
    ? { bridge: "br0", v4: "10.0.0.", v6: "fd00::", mac: "02:00:00:00:00:" }
    : {
        bridge: `br${index}`,
        v4: `10.0.${index + 1}.`,
        v6: `fd00:${index + 1}::`,
        mac: `02:00:00:00:0${index + 1}:`,
      };
}

/** Describes a lab. Throws LAB_OPTION for values that cannot be built. */
export function labTopology(options: TopologyOptions): Topology {
  const { prefix, balancers = 1, backends = 4, queues = 1, forward = "l2", mtu = 1500, arms = 1 } = options;
  const vips = options.vips ?? DEFAULT_VIPS;
  checkPrefix(prefix);
  checkCount("balancers", balancers, 0, MAX_BALANCERS);
  checkCount("backends", backends, 0, MAX_BACKENDS);
  checkCount("queues", queues, 1, 16);
  checkCount("mtu", mtu, 1280, 3506);
  checkCount("arms", arms, 1, 2);
  if (!FORWARDS.includes(forward)) {
    throw new LabError("LAB_OPTION", `forward: ${String(forward)} is not ${FORWARDS.join(" or ")}`);
  }
  for (const vip of vips) vipPrefix(vip);

  const nodes: TopologyNode[] = [];
  const links: Link[] = [];
  const bridges: Bridge[] = [];
  const addNode = (name: string, role: Role, routes: Route[], loopback: string[] = []) =>
    nodes.push({ name, role, namespace: namespaceOf(prefix, name), loopback, routes });

  addNode("client", "client", defaultRoutes("10.0.1.1", "fd00:1::1"));
  addNode("router", "router", []);
  links.push({
    ends: [
      {
        node: "client",
        device: "eth0",
        mac: "02:00:00:00:01:02",
        addresses: ["10.0.1.2/24", "fd00:1::2/64"],
      },
      {
        node: "router",
        device: "p-client",
        mac: "02:00:00:00:01:01",
        addresses: ["10.0.1.1/24", "fd00:1::1/64"],
      },
    ],
    mtu,
    queues,
  });
  for (let index = 0; index < arms; index++) {
    const { bridge, v4, v6, mac } = segment(index);
    bridges.push({
      node: "router",
      device: bridge,
      mac: `${mac}01`,
      mtu,
      addresses: [`${v4}1/24`, `${v6}1/64`],
    });
  }

  /** Connects `node` number `station` of segment `index` to the switch with its interface `device`. */
  const connect = (
    node: string,
    device: string,
    index: number,
    station: number,
    xdp: { inside?: "decap"; port?: "pass" },
  ) => {
    const { bridge, v4, v6, mac } = segment(index);
    const inside: LinkEnd = {
      node,
      device,
      mac: mac + station,
      addresses: [`${v4}${station}/24`, `${v6}${station}/64`],
      ...(xdp.inside && { xdp: xdp.inside }),
    };
    const port: LinkEnd = {
      node: "router",
      device: device === "eth0" ? `p-${node}` : `p-${node}-${device.slice(3)}`,
      mac: `02:00:00:01:0${index}:${station}`,
      addresses: [],
      bridge,
      ...(xdp.port && { xdp: xdp.port }),
    };
    links.push({ ends: [inside, port], mtu, queues });
  };

  for (let number = 1; number <= balancers; number++) {
    const name = `lb${number}`;
    addNode(name, "balancer", defaultRoutes(`${segment(0).v4}1`, `${segment(0).v6}1`));
    for (let arm = 0; arm < arms; arm++) connect(name, `eth${arm}`, arm, 10 + number, { port: "pass" });
  }
  const last = segment(arms - 1);
  const isTunnel = (TUNNELS as readonly string[]).includes(forward);
  const advmss = isTunnel ? { v4: mtu - 40 - TUNNEL_BYTES, v6: mtu - 60 - TUNNEL_BYTES } : undefined;
  // Where backends send what is for others: to the router, or to lb1.
  const gateway = forward === "nat" ? 11 : 1;
  const held = forward === "nat" ? [] : vips.map(vipPrefix);
  for (let number = 1; number <= backends; number++) {
    const name = `be${number}`;
    addNode(name, "backend", defaultRoutes(last.v4 + gateway, last.v6 + gateway, advmss), held);
    connect(name, "eth0", arms - 1, 20 + number, isTunnel ? { inside: "decap" } : {});
  }
  return { prefix, forward, vips, nodes, links, bridges };
}

/** PREFIX-NODE. */
export function namespaceOf(prefix: string, node: string): string {
  return `${prefix}-${node}`;
}

/** Takes a namespace's name apart; undefined when no lab has such a name. */
export function parseNamespace(namespace: string): { prefix: string; node: string } | undefined {
  const dash = namespace.indexOf("-");
  const prefix = namespace.slice(0, dash);
  const node = namespace.slice(dash + 1);
  return dash > 0 && PREFIX.test(prefix) && NODE.test(node) ? { prefix, node } : undefined;
}

/** All interfaces of a node. */
export function interfacesOf(topology: Topology, node: string): LinkEnd[] {
  return topology.links.flatMap((link) => link.ends).filter((end) => end.node === node);
}

export function familyOf(address: string): Family {
  return address.includes(":") ? "v6" : "v4";
}

/** A VIP as a prefix: `10.99.0.1` is `10.99.0.1/32`. Throws LAB_OPTION for what is neither address nor prefix. */
export function vipPrefix(vip: string): string {
  const [address = "", length, rest] = vip.split("/");
  const bits = isIP(address) === 4 ? 32 : 128;
  const valid = length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= bits);
  if (isIP(address) === 0 || address.includes("%") || !valid || rest !== undefined) {
    throw new LabError("LAB_OPTION", `vips: ${JSON.stringify(vip)} is not an IPv4 or IPv6 address or prefix`);
  }
  return `${address}/${length ?? bits}`;
}

/** Throws LAB_OPTION unless namespaces can be named after the prefix. */
export function checkPrefix(prefix: string): void {
  if (!PREFIX.test(prefix)) {
    throw new LabError(
      "LAB_OPTION",
      `prefix: ${JSON.stringify(prefix)} is not a lower-case letter followed by up to 7 lower-case letters or digits`,
    );
  }
}

function checkCount(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new LabError("LAB_OPTION", `${name}: ${value} is not a whole number from ${least} to ${most}`);
  }
}

function defaultRoutes(v4: string, v6: string, advmss?: { v4: number; v6: number }): Route[] {
  return [
    { to: "0.0.0.0/0", via: v4, ...(advmss && { advmss: advmss.v4 }) },
    { to: "::/0", via: v6, ...(advmss && { advmss: advmss.v6 }) },
  ];
}
