// docs/datapath.md §5: what a packet looks like when it leaves, tunnels apart. Each function returns a new frame.

import { concat, field, macBytes, setField } from "./bytes.ts";
import { updated } from "./checksum.ts";
import type { Ip } from "./parse.ts";

/** Destination MAC = next hop, source MAC = the egress interface's. */
export function withMacs(packet: Uint8Array, nextHop: string, egressMac: string): Uint8Array {
  return concat(macBytes(nextHop), macBytes(egressMac), packet.slice(12));
}

const REPLY_TTL = 64;

/** Answers an echo request where it lies: RFC 792, RFC 4443 §4.2; checksums by RFC 1624. */
export function echoReply(packet: Uint8Array, ip: Ip): Uint8Array {
  const reply = packet.slice();
  swap(reply, 0, 6, 6);
  if (ip.family === 4) {
    swap(reply, ip.l3 + 12, ip.l3 + 16, 4);
    change(reply, ip.l3 + 8, REPLY_TTL, ip.l3 + 8, ip.l3 + 10);
    change(reply, ip.l4, 0, ip.l4, ip.l4 + 2);
  } else {
    swap(reply, ip.l3 + 8, ip.l3 + 24, 16);
    reply[ip.l3 + 7] = REPLY_TTL;
    change(reply, ip.l4, 129, ip.l4, ip.l4 + 2);
  }
  return reply;
}

function swap(bytes: Uint8Array, a: number, b: number, length: number): void {
  const kept = bytes.slice(a, a + length);
  bytes.copyWithin(a, b, b + length);
  bytes.set(kept, b);
}

/** Sets one byte, and updates the checksum at `sumAt` for the 16-bit word at `wordAt` that holds it. */
function change(bytes: Uint8Array, at: number, value: number, wordAt: number, sumAt: number): void {
  const before = field(bytes, wordAt, 2);
  bytes[at] = value;
  setField(bytes, sumAt, 2, updated(field(bytes, sumAt, 2), before, field(bytes, wordAt, 2)));
}
