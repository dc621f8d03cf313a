// The end of tunnels whose packets arrive in fragments. XDP sees fragments one by one and leaves them alone; the kernel puts them
// together and gives them to sockets, and what they carry goes in again by a TUN device.

import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Lab } from "../../src/lab/lab.ts";

/**
 * Raw sockets of IPv4 have the outer header in front, those of IPv6 do not. A fragment's UDP header has no checksum, which
 * sockets of IPv6 have to allow (UDP_NO_CHECK6_RX, linux/udp.h).
 */
const REASSEMBLER = `
import fcntl, os, select, socket, struct
tun = os.open("/dev/net/tun", os.O_RDWR)
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", b"tunnels", IFF_TUN | IFF_NO_PI))
os.system("ip link set tunnels up mtu 1500")
skip = {}
def add(family, kind, protocol, bytes):
    s = socket.socket(family, kind, protocol)
    s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
    skip[s] = bytes
    return s
for protocol, bytes in ((4, 0), (41, 0), (47, 4)):
    add(socket.AF_INET, socket.SOCK_RAW, protocol, 20 + bytes)
    add(socket.AF_INET6, socket.SOCK_RAW, protocol, bytes)
add(socket.AF_INET, socket.SOCK_DGRAM, 0, 0).bind(("0.0.0.0", 6080))
gue = add(socket.AF_INET6, socket.SOCK_DGRAM, 0, 0)
gue.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
gue.setsockopt(socket.IPPROTO_UDP, 102, 1)
gue.bind(("::", 6080))
print("ready", flush=True)
while True:
    for s in select.select(list(skip), [], [])[0]:
        os.write(tun, s.recv(65536)[skip[s]:])
`;

/** Starts it in a node and returns when it is ready; it ends with the lab. */
export async function startReassembler(lab: Lab, node: string): Promise<void> {
  const child = lab.spawn(node, ["python3", "-c", REASSEMBLER], { stdio: ["ignore", "pipe", "inherit"] });
  const line = once(createInterface({ input: child.stdout! }), "line");
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`the reassembler in ${node} ended with ${code}`);
  });
  await Promise.race([line, ended]);
  ended.catch(() => {});
}

/** Packets that a node's kernel has put together, of both families. */
export async function reassembled(lab: Lab, node: string): Promise<number> {
  const { stdout } = await lab.exec(node, ["cat", "/proc/net/snmp", "/proc/net/snmp6"]);
  const lines = stdout.split("\n");
  const [names, values] = lines.filter((line) => line.startsWith("Ip:")).map((line) => line.split(" "));
  const v4 = Number(values![names!.indexOf("ReasmOKs")]);
  const v6 = Number(/^Ip6ReasmOKs\s+(\d+)$/m.exec(stdout)![1]);
  return v4 + v6;
}
