// A network namespace for one test file, gone with its last process however it ends.
import { execFileSync, spawnSync } from "node:child_process";

const INSIDE = "GUIDEWAY_TEST_NAMESPACE";

/** Reason to skip the file's tests, or false. */
export const withoutRoot: string | false =
  process.getuid?.() === 0 ? false : "needs root: interfaces, AF_XDP sockets and XDP programs";

/**
 * Runs the calling test file again in a new network namespace and ends this process with its result. Returns
 * inside the namespace, or at once without root. A process cannot move itself: namespaces belong to threads.
 */
export function enterNamespace(file: string): void {
  if (withoutRoot || process.env[INSIDE]) return;
  const { status, signal, error } = spawnSync(
    "unshare",
    ["--net", process.execPath, ...process.execArgv, file],
    { stdio: "inherit", env: { ...process.env, [INSIDE]: "1" } },
  );
  if (error) throw error;
  process.exit(signal ? 1 : (status ?? 1));
}

/** Runs `ip` with the given arguments, separated by spaces, and returns what it prints. */
export function ip(command: string): string {
  return execFileSync("ip", command.split(" "), { encoding: "utf8" });
}

/**
 * Creates a pair of connected interfaces with two queues each, up, without offloads and without IPv6 (whose
 * router solicitations would be packets that no test has sent).
 */
export function createVeth(near: string, far: string, queues = 2): void {
  execFileSync("sysctl", ["-qw", "net.ipv6.conf.default.disable_ipv6=1"]);
  const size = `numrxqueues ${queues} numtxqueues ${queues}`;
  ip(`link add ${near} ${size} type veth peer name ${far} ${size}`);
  for (const name of [near, far]) {
    ip(`link set dev ${name} up`);
    execFileSync("ethtool", ["-K", name, "tx", "off", "tso", "off", "gso", "off", "gro", "off"]);
  }
}

/** What `ip` says of an interface. */
export function linkOf(name: string): {
  ifindex: number;
  address: string;
  xdp?: { mode: number; prog: { id: number } };
} {
  return JSON.parse(ip(`-json link show dev ${name}`))[0];
}
