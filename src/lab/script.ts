/**
 * A topology as input for iproute2, ethtool and /proc/sys: text in, text out, nothing is run here.
 *
 * One `ip -batch` makes all namespaces and links from outside (`creationBatch`), then one shell per namespace sets it up
 * from inside (`nodeScript`). Every value in the text was checked or made by `labTopology`, so nothing needs quoting.
 */
import { familyOf, interfacesOf, type Topology, type TopologyNode } from "./topology.ts";

/** The features that must be off where packets are read as raw frames: else partial checksums and 64 KiB packets arrive. */
const OFFLOADS = "tx off tso off gso off gro off rxvlan off txvlan off";

/** Addresses, protocol and ports (Documentation/networking/ip-sysctl.rst: fib_multipath_hash_fields). */
const FIVE_TUPLE = 0x37;

/** Lines for `ip -batch` that make the namespaces, without the first: `Lab.up` makes that to claim the prefix. */
export function namespaceBatch(topology: Topology): string {
  return lines(topology.nodes.slice(1).map((node) => `netns add ${node.namespace}`));
}

/** Lines for `ip -batch` that make links and bridges inside the namespaces; none is ever in the host's. */
export function linkBatch(topology: Topology): string {
  const namespace = (name: string) => topology.nodes.find((node) => node.name === name)!.namespace;
  return lines([
    ...topology.links.map(({ ends: [a, b], mtu, queues }) => {
      const shape = `mtu ${mtu} numrxqueues ${queues} numtxqueues ${queues}`;
      return (
        `link add ${a.device} netns ${namespace(a.node)} address ${a.mac} ${shape} type veth ` +
        `peer name ${b.device} netns ${namespace(b.node)} address ${b.mac} ${shape}`
      );
    }),
    ...topology.bridges.map(
      ({ node, device, mac, mtu }) =>
        // Nobody queries for multicast listeners here, so snooping would only lose neighbour solicitations.
        `link add ${device} netns ${namespace(node)} address ${mac} mtu ${mtu} type bridge mcast_snooping 0`,
    ),
  ]);
}

/** Shell text that sets up one namespace from inside. `object` is the XDP object of its interfaces. */
export function nodeScript(topology: Topology, node: TopologyNode, object: string): string {
  const ends = interfacesOf(topology, node.name);
  const bridges = topology.bridges.filter((bridge) => bridge.node === node.name);
  const devices = [...ends, ...bridges].map((end) => end.device);
  const addresses = [...ends, ...bridges].flatMap(({ device, addresses }) =>
    addresses.map(
      (address) => `address add ${address} dev ${device}${familyOf(address) === "v6" ? " nodad" : ""}`,
    ),
  );
  const batch = [
    "link set lo up",
    ...node.loopback.map(loopback),
    // Programs go on before the links are up, so that no packet slips by.
    ...ends.flatMap((end) =>
      end.xdp ? `link set dev ${end.device} xdpdrv obj ${object} program ${end.xdp}` : [],
    ),
    ...ends.flatMap((end) => (end.bridge ? `link set dev ${end.device} master ${end.bridge}` : [])),
    ...devices.map((device) => `link set dev ${device} up`),
    ...addresses,
    ...node.routes.map(
      ({ to, via, advmss }) => `route add ${to} via ${via}${advmss ? ` advmss ${advmss}` : ""}`,
    ),
  ];
  return lines([
    "set -e",
    ...sysctls(node, devices),
    // A switch port is no station of its own.
    ...ends
      .filter((end) => end.bridge)
      .map((end) => `echo 1 >/proc/sys/net/ipv6/conf/${end.device}/disable_ipv6`),
    ...ends.map((end) => `ethtool -K ${end.device} ${OFFLOADS} >/dev/null`),
    "ip -batch - <<END",
    ...batch,
    "END",
    ...stations(topology, node),
  ]);
}

/** A VIP on lo. An IPv6 prefix on lo makes only one address local, so prefixes are local routes for both families. */
function loopback(vip: string): string {
  if (!vip.endsWith(familyOf(vip) === "v4" ? "/32" : "/128")) return `route add local ${vip} dev lo`;
  return `address add ${vip} dev lo${familyOf(vip) === "v6" ? " nodad" : ""}`;
}

/** Lines for `ip -batch` in the router that send the VIPs to `hops` (of both families, in any order). */
export function vipRouteBatch(vips: string[], hops: string[]): string {
  return lines(
    vips.flatMap((vip) => {
      const family = familyOf(vip);
      const via = hops.filter((hop) => familyOf(hop) === family).map((hop) => `nexthop via ${hop}`);
      // Until somebody takes it, a VIP is unreachable: the router must not send it back to where it came from.
      const unreachable = `route replace unreachable ${vip}`;
      return via.length === 0 ? [unreachable] : [`route replace ${vip} ${via.join(" ")}`];
    }),
  );
}

/**
 * The switch knows where every station is. A learning switch floods frames for one that has not spoken yet, and a
 * balancer would then see, and forward again, what was meant for a backend.
 */
function stations(topology: Topology, node: TopologyNode): string[] {
  const entries = topology.links.flatMap(({ ends }) =>
    ends.flatMap((port, side) =>
      port.node === node.name && port.bridge
        ? `fdb replace ${ends[1 - side]!.mac} dev ${port.device} master static`
        : [],
    ),
  );
  return entries.length === 0 ? [] : ["bridge -batch - <<END", ...entries, "END"];
}

function sysctls(node: TopologyNode, devices: string[]): string[] {
  const set = (key: string, value: string | number) => `echo ${value} >/proc/sys/net/${key}`;
  const perDevice = (family: "ipv4" | "ipv6", key: string, value: number) =>
    ["all", "default", ...devices].map((device) => set(`${family}/conf/${device}/${key}`, value));
  const forwarding = node.role === "router" ? 1 : 0;
  return [
    // A namespace inherits IPv4 settings from the host: say everything that matters. `forwarding` resets others, so first.
    set("ipv4/ip_forward", forwarding),
    set("ipv6/conf/all/forwarding", forwarding),
    ...perDevice("ipv4", "rp_filter", 0),
    ...perDevice("ipv4", "send_redirects", 0),
    ...perDevice("ipv4", "accept_redirects", 0),
    ...perDevice("ipv6", "accept_redirects", 0),
    ...perDevice("ipv6", "accept_dad", 0),
    ...perDevice("ipv6", "accept_ra", 0),
    ...(node.role === "client"
      ? [set("ipv4/ip_local_port_range", '"1024 65535"'), set("ipv4/tcp_tw_reuse", 1)]
      : []),
    // Backends hold VIPs on lo: never answer ARP for one, never name one as the sender of an ARP request.
    ...(node.role === "backend"
      ? [...perDevice("ipv4", "arp_ignore", 1), ...perDevice("ipv4", "arp_announce", 2)]
      : []),
    ...(node.role === "router" ? routerSysctls(set) : []),
  ];
}

function routerSysctls(set: (key: string, value: number) => string): string[] {
  return [
    // ECMP by five-tuple, skipping next hops that do not answer. By the one in the packet, as any router would: policy 1 takes the
    // hash that the client's socket left with it, which is random, and another one after each retransmission (sk_rethink_txhash).
    ...["ipv4", "ipv6"].flatMap((family) => [
      set(`${family}/fib_multipath_hash_policy`, 3),
      set(`${family}/fib_multipath_hash_fields`, FIVE_TUPLE),
    ]),
    set("ipv4/fib_multipath_use_neigh", 1),
    // Say "unreachable" every time, not once a second.
    set("ipv4/icmp_ratelimit", 0),
    set("ipv6/icmp/ratelimit", 0),
    set("ipv4/conf/all/ignore_routes_with_linkdown", 1),
    set("ipv4/conf/default/ignore_routes_with_linkdown", 1),
    "for call in iptables ip6tables arptables; do",
    '  file="/proc/sys/net/bridge/bridge-nf-call-$call"',
    '  if [ -e "$file" ]; then echo 0 >"$file"; fi',
    "done",
  ];
}

function lines(text: string[]): string {
  return `${text.join("\n")}\n`;
}
