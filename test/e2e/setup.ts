// What the end-to-end tests have in common: configurations for a lab, and what must be true after every run.

import assert from "node:assert/strict";
import { MAX_EXTRAS } from "../../assembly/layout.ts";
import { isTunnel } from "../../src/config/tunnel.ts";
import type { BackendStatus, MachineStatus } from "../../src/control/status.ts";
import type { FrameAudit } from "../../src/dataplane/audit.ts";
import { reasonCode, verdictOf } from "../../src/dataplane/reasons.ts";
import type { Lab } from "../../src/lab/lab.ts";
import type { LoadReport } from "../../src/lab/load.ts";
import { type ClientOptions, startLoad } from "../../src/lab/traffic.ts";
import { type Balancer, eventually } from "./harness.ts";

export const VIP = { v4: "10.99.0.1", v6: "fd99::1" } as const;
export const UDP_PORT = 5353;

let prefixes = 0;

/** A prefix that no other test process has. */
export function e2ePrefix(): string {
  return `gwe${(process.pid % 36 ** 4).toString(36)}${(prefixes++ % 36).toString(36)}`;
}

/** Backends be1… as a pool, by their addresses of a family. */
export function poolOf(
  lab: Lab,
  family: "v4" | "v6" = "v4",
): { backends: { name: string; address: string }[] } {
  return { backends: lab.nodes("backend").map((name) => ({ name, address: lab.address(name, family) })) };
}

export interface ConfigOptions {
  workers?: number;
  /** A pool `web` behind port 80 of both VIPs, instead of all of these services. */
  pools?: Record<string, object>;
  timeouts?: Record<string, string>;
}

/**
 * A balancer of a lab. Port 80 of each VIP goes to the backends' addresses of the same family, port 8080 to those of the
 * other, which is a difference for tunnels only.
 */
export function configOf(lab: Lab, { workers = 1, pools, timeouts }: ConfigOptions = {}): object {
  const { forward } = lab.topology;
  const vip = (name: string, address: string, port: number, pool: string, protocol = "tcp") => ({
    name,
    address,
    port,
    pool,
    protocol,
    forward,
  });
  return {
    machine: { name: "lb1", address: lab.address("lb1", "v4"), address6: lab.address("lb1", "v6") },
    interfaces: ["eth0"],
    workers: { count: workers },
    conntrack: { flows: 200_000, ...(timeouts && { timeouts }) },
    pools: pools ?? { web4: poolOf(lab, "v4"), web6: poolOf(lab, "v6") },
    vips: pools
      ? [vip("web", VIP.v4, 80, "web"), vip("web-v6", VIP.v6, 80, "web")]
      : [
          vip("v4", VIP.v4, 80, "web4"),
          vip("v6", VIP.v6, 80, "web6"),
          vip("v4-over-v6", VIP.v4, 8080, "web6"),
          vip("v6-over-v4", VIP.v6, 8080, "web4"),
          vip("udp-v4", VIP.v4, UDP_PORT, "web4", "udp"),
          vip("udp-v6", VIP.v6, UDP_PORT, "web6", "udp"),
        ],
  };
}

/** Requests until so many were answered or failed. */
export async function requests(lab: Lab, count: number, options: ClientOptions): Promise<LoadReport> {
  let done = 0;
  let enough = () => {};
  const reached = new Promise<void>((resolve) => {
    enough = resolve;
  });
  const load = startLoad(lab, {
    intervalMs: 50,
    ...options,
    onReport: ({ ok, failed }) => {
      done += ok + failed;
      if (done >= count) enough();
    },
  });
  await Promise.race([reached, load.summary]);
  return load.stop();
}

/**
 * Waits until nothing is on its way, then checks that every frame is where it belongs. One per queue may be out of sight: in
 * copy mode the kernel takes a frame from the FILL ring for each packet, and when it then cannot deliver the packet it
 * keeps the frame in the queue's pool for the next one (xp_alloc and xp_free, net/xdp/xsk_buff_pool.c). Where there are tunnels,
 * each worker keeps some for the second fragment of what is too big.
 */
export async function checkFrames(balancer: Balancer): Promise<void> {
  let audit: FrameAudit | undefined;
  const { interfaces, workers, vips } = await balancer.status();
  const queues = sum(interfaces.map((each) => each.queues));
  const kept = vips.some(({ forward }) => isTunnel(forward)) ? workers.length * MAX_EXTRAS : 0;
  const settled = ({ places: { fill, free }, total, missing }: FrameAudit) =>
    fill + free === total - missing.length && free <= kept;
  await eventually("all frames are back", async () => {
    audit = await balancer.frames();
    return settled(audit);
  }).catch(() => {});
  const { missing, duplicated, invalid } = audit!;
  assert.deepEqual({ duplicated, invalid }, { duplicated: [], invalid: [] });
  assert.ok(missing.length <= queues, `${missing.length} frames are missing with ${queues} queues`);
  assert.ok(settled(audit!), JSON.stringify(audit!.places));
}

const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);

/** A status between whose counters no packet came: clients of a connection that broke go on sending for a while. */
export async function quietStatus(balancer: Balancer): Promise<MachineStatus> {
  const received = ({ workers }: MachineStatus) => sum(workers.map(({ packets }) => packets));
  let status = await balancer.status();
  await eventually("no packet comes while the counters are read", async () => {
    const before = received(status);
    status = await balancer.status();
    return received(status) === before;
  });
  return status;
}

/** Whether VIPs and backends count packets that end so. */
const isForVip = (reason: string) => reason !== "probe" && verdictOf(reasonCode(reason)) === "forward";

/** What must agree with each other. */
function counted({ workers, reasons, vips, pools }: MachineStatus) {
  const backends = pools.flatMap((pool) => pool.backends);
  return {
    received: sum(workers.map(({ packets, handed }) => packets - handed)),
    decided: sum(Object.values(reasons)),
    forwarded: sum(Object.entries(reasons).map(([name, count]) => (isForVip(name) ? count : 0))),
    new: reasons.new ?? 0,
    vips: sum(vips.map(({ packets }) => packets)),
    backends: sum(backends.map(({ packets }) => packets)),
    vipBytes: sum(vips.map(({ bytes }) => bytes)),
    backendBytes: sum(backends.map(({ bytes }) => bytes)),
    newFlows: sum(backends.map(({ newFlows }) => newFlows)),
  };
}

/**
 * Checks that the counters of a machine agree with each other.
 * @param since a status with the same VIPs and backends: what left before took its counters along
 */
export async function checkCounters(balancer: Balancer, since?: MachineStatus): Promise<void> {
  const status = await quietStatus(balancer);
  const { workers } = status;
  const now = counted(status);
  if (since) {
    const before = counted(since);
    for (const key of Object.keys(now) as (keyof typeof now)[]) now[key] -= before[key];
  }
  // A worker may be at its self-test while the one is read and then the other.
  const difference = now.received - now.decided;
  assert.ok(Math.abs(difference) <= workers.length, `every packet has one reason: ${difference}`);
  assert.equal(now.vips, now.forwarded, "VIPs");
  assert.equal(now.backends, now.forwarded, "backends");
  assert.equal(now.vipBytes, now.backendBytes, "bytes");
  assert.equal(now.newFlows, now.new, "new flows");
  assert.equal(sum(workers.map(({ traps }) => traps)), 0, "traps");
}

export function backendOf(status: MachineStatus, name: string, pool = "web"): BackendStatus {
  return status.pools.find((each) => each.name === pool)!.backends.find((each) => each.name === name)!;
}

/** Packets that a node has sent by an interface. */
export async function sentPackets(lab: Lab, node: string, device = "eth0"): Promise<number> {
  const { stdout } = await lab.exec(node, ["cat", `/sys/class/net/${device}/statistics/tx_packets`]);
  return Number(stdout);
}

/**
 * Packets that were to open a connection and were lost, since the lab was made. The kernel of the other end answers at once, so
 * one that was sent again, a second later, was lost; or it was for a backend that has a connection of the same two ends still,
 * which went elsewhere meanwhile: that one is challenged (RFC 5961 §4), and reset.
 */
export async function lostOpenings(lab: Lab): Promise<number> {
  const challenged = await Promise.all(
    lab.nodes("backend").map((node) => tcpCounter(lab, node, "TCPSYNChallenge")),
  );
  return Math.max(0, (await tcpCounter(lab, "client", "TCPSynRetrans")) - sum(challenged));
}

/** One of the kernel's counters for TCP, of both families. */
async function tcpCounter(lab: Lab, node: string, name: string): Promise<number> {
  const { stdout } = await lab.exec(node, ["cat", "/proc/net/netstat"]);
  const lines = stdout.split("\n").filter((line) => line.startsWith("TcpExt:"));
  const [names = [], values = []] = lines.map((line) => line.split(" "));
  assert.ok(names.includes(name), `no counter ${name}`);
  return Number(values[names.indexOf(name)]);
}

/** Whether an XDP program is on an interface. */
export async function hasProgram(lab: Lab, node: string, device = "eth0"): Promise<boolean> {
  const { stdout } = await lab.exec(node, ["ip", "-json", "-details", "link", "show", "dev", device]);
  return (JSON.parse(stdout) as { xdp?: object }[])[0]!.xdp !== undefined;
}
