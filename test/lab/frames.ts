/** Frames made by hand, and raw sockets (python3's, Node has none) to send and to see them inside a lab. */
import { once } from "node:events";
import { createInterface } from "node:readline";
import ipaddr from "ipaddr.js";
import type { Lab } from "../../src/lab/lab.ts";

export const ETHERTYPE = { v4: 0x0800, v6: 0x86dd } as const;

export function bytes(address: string): Buffer {
  return Buffer.from(ipaddr.parse(address).toByteArray());
}

export function ethernet(to: string, from: string, type: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${to}${from}`.replaceAll(":", ""), "hex"), u16(type), payload]);
}

/** An IP header of the addresses' family in front of the payload. `fragment` is the IPv4 flags and offset field. */
export function ip(from: string, to: string, protocol: number, payload: Buffer, fragment = 0): Buffer {
  if (from.includes(":")) {
    const head = Buffer.from([0x60, 0, 0, 0, 0, 0, protocol, 64]);
    head.writeUInt16BE(payload.length, 4);
    return Buffer.concat([head, bytes(from), bytes(to), payload]);
  }
  const head = Buffer.concat([
    Buffer.from([0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0]),
    bytes(from),
    bytes(to),
  ]);
  head.writeUInt16BE(20 + payload.length, 2);
  head.writeUInt16BE(fragment, 6);
  head.writeUInt16BE(checksum(head), 10);
  return Buffer.concat([head, payload]);
}

export function gre(type: number, payload: Buffer, flags = 0): Buffer {
  return Buffer.concat([u16(flags), u16(type), payload]);
}

/** An echo request with its IP header. */
export function echo(from: string, to: string, id: number, dataBytes = 8): Buffer {
  const v6 = from.includes(":");
  const message = Buffer.concat([
    Buffer.from([v6 ? 128 : 8, 0, 0, 0]),
    u16(id),
    u16(1),
    Buffer.alloc(dataBytes, "guideway"),
  ]);
  const pseudo = v6 ? [bytes(from), bytes(to), u16(0), u16(message.length), Buffer.from([0, 0, 0, 58])] : [];
  message.writeUInt16BE(checksum(Buffer.concat([...pseudo, message])), 2);
  return ip(from, to, v6 ? 58 : 1, message);
}

/** The id of an echo reply, undefined for any other frame. */
export function echoReplyId(frame: Buffer): number | undefined {
  const type = frame.readUInt16BE(12);
  if (type === ETHERTYPE.v4 && frame[23] === 1 && frame[34] === 0) return frame.readUInt16BE(38);
  if (type === ETHERTYPE.v6 && frame[20] === 58 && frame[54] === 129) return frame.readUInt16BE(58);
  return undefined;
}

/** The source port and segment size of a SYN-ACK, undefined for any other frame. */
export function synAckMss(frame: Buffer): { v6: boolean; mss: number } | undefined {
  const type = frame.readUInt16BE(12);
  const v6 = type === ETHERTYPE.v6;
  const tcp = v6 ? 54 : 34;
  if (frame[v6 ? 20 : 23] !== 6 || (frame[tcp + 13]! & 0x12) !== 0x12) return undefined;
  for (
    let at = tcp + 20;
    at < tcp + (frame[tcp + 12]! >> 4) * 4;
    at += frame[at] === 1 ? 1 : frame[at + 1]!
  ) {
    if (frame[at] === 2) return { v6, mss: frame.readUInt16BE(at + 2) };
  }
  return undefined;
}

/** Sends every line of hex on stdin as a frame. */
const SENDER = `
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
for line in sys.stdin:
    s.send(bytes.fromhex(line.strip()))
`;

/** Writes every frame that arrives as a line of hex. */
const LISTENER = `
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind((sys.argv[1], 0))
print("ready", flush=True)
while True:
    frame, address = s.recvfrom(65536)
    if address[2] != socket.PACKET_OUTGOING:
        print(frame.hex(), flush=True)
`;

export async function sendFrames(lab: Lab, node: string, frames: Buffer[]): Promise<void> {
  const input = frames.map((frame) => `${frame.toString("hex")}\n`).join("");
  await lab.exec(node, ["python3", "-c", SENDER, "eth0"], { input });
}

/** Collects the frames that arrive at a node until `stop`. */
export async function listen(lab: Lab, node: string): Promise<{ frames: Buffer[]; stop(): boolean }> {
  const child = lab.spawn(node, ["python3", "-c", LISTENER, "eth0"]);
  const lines = createInterface({ input: child.stdout! });
  const frames: Buffer[] = [];
  await once(lines, "line");
  lines.on("line", (line) => frames.push(Buffer.from(line, "hex")));
  return { frames, stop: () => child.kill() };
}

function u16(value: number): Buffer {
  const two = Buffer.alloc(2);
  two.writeUInt16BE(value);
  return two;
}

function checksum(data: Buffer): number {
  let sum = 0;
  for (let at = 0; at < data.length; at += 2) sum += (data[at]! << 8) | (data[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
