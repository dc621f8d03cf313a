// The configuration: types, defaults, documentation and validation, declared once. docs/configuration.md is
// generated from the descriptions here. A default is written as a user would write it.
import type { z } from "zod";
import {
  BATCH,
  FORWARD_GRE,
  FORWARD_GUE,
  FORWARD_IPIP,
  FORWARD_L2,
  FORWARD_NAT,
  MAX_INTERFACES,
  MAX_WORKERS,
} from "../../assembly/layout.ts";
import { endpoint } from "./address.ts";
import { admin } from "./admin.ts";
import { announce } from "./announce.ts";
import { change } from "./change.ts";
import { checkConsistency } from "./consistency.ts";
import { forwarder } from "./forwarder.ts";
import { guard, quic, quicServerId } from "./guard.ts";
import { health } from "./health.ts";
import { icmp } from "./icmp.ts";
import { TUNNEL_MODES, tunnel } from "./tunnel.ts";
import {
  boolean,
  choice,
  duration,
  folderPath,
  integer,
  integerOf,
  integerOrAuto,
  interfaceName,
  listOf,
  mapOf,
  name,
  oneOrMore,
  portNumber,
  ports,
  section,
  unicastAddress,
  unicastMac,
  unicastPrefix,
  word64,
} from "./values.ts";

/** Timeouts go to the workers as 32-bit milliseconds; a week is far from that limit and longer than any use. */
const timeout = () => duration(1000, 7 * 24 * 3_600_000, "from 1s to 168h");

const machine = section({
  name: name().prefault("guideway").describe("What this machine is called in logs, metrics and the fleet."),
  address: unicastAddress(4)
    .optional()
    .describe("Outer source address of tunnels to IPv4 backends. Required for those."),
  address6: unicastAddress(6)
    .optional()
    .describe("Outer source address of tunnels to IPv6 backends. Required for those."),
  mac: unicastMac()
    .prefault("02:bb:00:00:00:01")
    .describe("Source MAC address where no interface is read: `replay`, `explain` and the like."),
});

const frames = section({
  size: integerOf(2048, 4096)
    .prefault(2048)
    .describe(
      "Bytes of a packet buffer, 256 of them headroom for tunnel headers. An MTU above 1770 needs 4096.",
    ),
  count: integerOrAuto(64, 1 << 20)
    .prefault("auto")
    .describe("Packet buffers of the machine. `auto` follows from interfaces, queues and workers."),
});

const workers = section({
  count: integerOrAuto(1, MAX_WORKERS)
    .prefault("auto")
    .describe("Worker threads. `auto` is the number of `cpus`, or of the CPUs this process may use."),
  max: integerOrAuto(1, MAX_WORKERS)
    .prefault("auto")
    .describe(
      "Most workers that `count` and `guideway workers` may ask for while the machine runs: each has a socket on every queue. " +
        "`auto` is the number of CPUs, or `count` if that is more.",
    ),
  cpus: listOf("CPU numbers", integer(0, 4095))
    .optional()
    .describe("CPUs to pin the workers to, one each, in order. Without it they are not pinned."),
  batch: integer(1, BATCH).prefault(BATCH).describe("Most packets that a worker takes at once."),
  busyPoll: boolean()
    .prefault(false)
    .describe(
      "Workers receive in their own threads instead of in interrupts, and never sleep: each takes a CPU, idle or not " +
        "(docs/workers.md).",
    ),
});

/** More than any machine sees; the product with milliseconds stays in 64 bits. */
const MAX_NEW_FLOWS = 100_000_000;

const timeouts = section({
  new: timeout().prefault("60s").describe("A TCP flow that has only been opened."),
  established: timeout().prefault("15m").describe("A TCP flow that was acknowledged."),
  closing: timeout().prefault("30s").describe("A TCP flow after FIN or RST."),
  udp: timeout().prefault("30s").describe("A UDP flow."),
});

const conntrack = section({
  flows: integer(1, 1 << 27)
    .prefault(1 << 20)
    .describe(
      "Flows that the connection table has room for. Its size is a power of two, so there may be room for more.",
    ),
  timeouts: timeouts.prefault({}).describe("How long a flow is remembered after its last packet, by state."),
  newFlowsPerSecond: integer(0, MAX_NEW_FLOWS)
    .prefault(0)
    .describe(
      "New flows a second that the connection table takes, a 256th of them in each 256th of the flow space. The packets of " +
        "those above it go to the backend of their slot nevertheless, every packet anew (`table`), so a flood cannot evict " +
        "what is there. 0 is no limit.",
    ),
  persist: folderPath()
    .optional()
    .describe(
      "Folder of the connection table, so that it outlives the process: [restart.md](restart.md). Its own, on a tmpfs; made when " +
        "it is not there. Without it a start begins with an empty table.",
    ),
});

const hash = section({
  seed: word64()
    .prefault("0x5ca1ab1e")
    .describe(
      "Keys the choice of a backend for a new flow. The same on every machine of a fleet. Decimal or hexadecimal.",
    ),
});

const backend = section({
  name: name()
    .optional()
    .describe(
      "Default: `address:port`, `[address]:port` for IPv6, or the address where there is no port. " +
        "Unique in its pool. The lookup table is computed from the names, so a renamed backend moves flows.",
    ),
  address: unicastAddress().describe("Where the backend is."),
  port: portNumber()
    .optional()
    .describe(
      "Port of the service on the backend. With `forward: nat` packets go to it; without it, to the port that they have. " +
        "The other modes leave a packet's port alone.",
    ),
  weight: integer(0, 65535)
    .prefault(1)
    .describe("Share of new flows, relative to the other backends of the pool. 0 takes none."),
  mac: unicastMac()
    .optional()
    .describe("MAC address of the backend, where neighbour resolution is not wanted."),
  quicServerId: quicServerId().optional(),
  healthPort: portNumber()
    .optional()
    .describe("Port of this backend that health checks go to, instead of `health.port` of its pool."),
}).transform(({ name, ...rest }) => ({ name: name ?? endpoint(rest.address, rest.port), ...rest }));

/**
 * The greatest prime below 2²⁴: a table of 32 MiB, with more than 100 slots for each of 65,535 backends.
 */
const MAX_TABLE_SIZE = 16_777_213;

const pool = section({
  algorithm: choice("maglev").prefault("maglev").describe("How a new flow finds its backend."),
  tableSize: integer(2, MAX_TABLE_SIZE)
    .prefault(65537)
    .describe(
      "Slots of the lookup table, a prime. At least 100 for each backend, or shares become uneven. " +
        "Changing it moves flows. A slot takes 2 bytes, and a table is there twice while it is replaced.",
    ),
  whenEmpty: choice("withdraw", "open")
    .prefault("withdraw")
    .describe(
      "When every backend is down. `withdraw`: its VIPs are withdrawn and their new flows dropped. `open`: the checks " +
        "are disregarded, all of its backends take flows.",
    ),
  health: health
    .optional()
    .describe("How its backends are checked (docs/health.md). Without it they always count as up."),
  backends: listOf("backends", backend).describe("The machines behind it."),
});

const vip = section({
  name: name().describe("Unique. Commands, counters and logs name the VIP by it."),
  address: unicastPrefix().describe(
    "The virtual address, or a prefix of them, all of which it answers to. Several VIPs may share one. Of VIPs that contain " +
      "an address, the one with the longest prefix takes a packet, if it has the port.",
  ),
  protocol: choice("tcp", "udp", "any").prefault("tcp").describe("`any` is `tcp` and `udp`."),
  port: oneOrMore(
    'a port, a range such as "8000-8099", 0 for every port, or a list of them',
    ports(),
  ).describe(
    "A port, a range of ports, 0 for every port, or a list of ports and ranges. Of VIPs with one address a port takes a " +
      "packet before a range, and a range before every port.",
  ),
  pool: name().describe("The pool that its flows go to."),
  forward: choice("l2", ...TUNNEL_MODES, "nat")
    .prefault("l2")
    .describe(
      "`l2` rewrites the MAC addresses: the backend is on the same segment. The tunnels lead to backends anywhere: " +
        "`gre` (RFC 2784), `ipip` (IP in IP, of either family in either), `gue` (in UDP: GUE variant 1, which is foo-over-UDP of " +
        "IP). In each of these the backend holds the virtual address on a loopback and answers the client directly. `nat` replaces " +
        "the virtual address and port by the backend's: the backend needs to know nothing, but its answers must come back " +
        "through this machine (docs/nat.md).",
    ),
  tunnel: tunnel.prefault({}).describe("What the tunnels need to know."),
  echo: boolean().prefault(true).describe("Whether the balancer answers pings to the virtual address."),
  guard: guard
    .optional()
    .describe("Which sources may send to it, and how much. Without it all may send anything."),
  quic: quic.prefault({}).describe("How QUIC packets find their backend."),
});

/** What a configuration file may say. Parse YAML with load.ts, which adds positions to the errors. */
export const schema = section({
  machine: machine.prefault({}).describe("This machine."),
  interfaces: listOf(`up to ${MAX_INTERFACES} interface names`, interfaceName())
    .prefault([])
    .describe(
      `AF_XDP devices, at most ${MAX_INTERFACES}: one, or two for a two-armed balancer. \`run\` needs at least one.`,
    ),
  frames: frames.prefault({}).describe("Packet buffers."),
  workers: workers.prefault({}).describe("Threads that forward packets."),
  conntrack: conntrack.prefault({}).describe("The connection table."),
  icmp: icmp.prefault({}).describe("ICMP of the machine's own."),
  hash: hash.prefault({}).describe("Keys of hash functions."),
  pools: mapOf("pools by name", pool).describe(
    "Pools of backends by name. A name starts with a letter. Each pool has one lookup table, which its VIPs share.",
  ),
  vips: listOf("VIPs", vip).describe("Virtual IP addresses, their services, and the pools behind them."),
  change: change.prefault({}).describe("How a running machine takes another configuration."),
  announce: announce
    .optional()
    .describe("Who announces the VIPs to the routers. Without it nothing is announced; see announce.md."),
  forwarder: forwarder.prefault({}).describe("How the machine tests itself."),
  admin: admin.prefault({}).describe("How this machine is operated."),
}).superRefine(checkConsistency, { when: () => true });

/**
 * A valid configuration. Keys are those of the file, and every default is filled in. Durations are integers in
 * milliseconds, addresses and MACs canonical text, `vips[].port` always a list, `hash.seed` a bigint below 2⁶⁴.
 * The order of pools, backends, VIPs and ports is that of the file.
 */
export type Config = z.output<typeof schema>;
export type PoolConfig = Config["pools"][string];
export type BackendConfig = PoolConfig["backends"][number];
export type AdminConfig = Config["admin"];
export type VipConfig = Config["vips"][number];

/** FORWARD_* of the arena for each `forward` of the configuration. */
export const FORWARD_MODES: Readonly<Record<VipConfig["forward"], number>> = {
  l2: FORWARD_L2,
  gre: FORWARD_GRE,
  ipip: FORWARD_IPIP,
  gue: FORWARD_GUE,
  nat: FORWARD_NAT,
};
