// The packet that an ICMP error is about, as the message quotes it from its IP header on (RFC 792, RFC 4443 §2.4(c)). It may be cut
// short anywhere: what is looked at must be in the message.

import { isLaterFragment6, WALK_TRUNCATED, walk } from "./extensions";
import { Packet } from "./records";
import { ICMP_BYTES } from "./wire/icmp";
import * as ipv4 from "./wire/ipv4";
import * as ipv6 from "./wire/ipv6";

/** What is quoted of layer 4 at least: RFC 792. */
const QUOTED_BYTES: u32 = 8;
/** Bytes of extension headers that are walked in a quoted packet. */
const MOST_WALKED: u32 = 255;

/** Address of the quoted IP header. */
export function quotedIp(packet: Packet): usize {
  return packet.start + packet.l4 + ICMP_BYTES;
}

/** Address of the quoted layer-4 header. @param found what findQuoted() returned */
export function quotedLayer4(found: u64): usize {
  return <u32>found;
}

/** TCP or UDP. */
export function quotedProtocol(found: u64): u32 {
  return <u32>(found >>> 32);
}

/**
 * Finds the ports of the quoted packet, which has the IP version of the message.
 * @param rest bytes of the message, 8 at least
 * @returns for quotedLayer4() and quotedProtocol(); 0 when the quote does not show ports of TCP or UDP
 */
export function findQuoted(packet: Packet, rest: u32): u64 {
  const quoted = quotedIp(packet);
  const room = rest - ICMP_BYTES;
  return packet.family == 4 ? find4(quoted, room) : find6(quoted, room);
}

function find4(quoted: usize, room: u32): u64 {
  if (room < ipv4.IPV4_BYTES || ipv4.version(quoted) != 4 || ipv4.isLaterFragment(quoted)) return 0;
  const header = ipv4.headerBytes(quoted);
  if (header < ipv4.IPV4_BYTES) return 0;
  return withPorts(quoted, header, room, ipv4.protocol(quoted));
}

function find6(quoted: usize, room: u32): u64 {
  if (room < ipv6.IPV6_BYTES || ipv6.version(quoted) != 6) return 0;
  const behind = quoted + ipv6.IPV6_BYTES;
  const walked = walk(behind, ipv6.nextHeader(quoted), room - ipv6.IPV6_BYTES, MOST_WALKED);
  if (walked >= WALK_TRUNCATED) return 0;
  let bytes = walked & 0xff;
  let protocol = walked >>> 8;
  if (protocol == ipv6.NEXT_FRAGMENT) {
    // The walk has seen that the header is there.
    if (isLaterFragment6(behind + bytes)) return 0;
    protocol = load<u8>(behind + bytes);
    bytes += ipv6.EXTENSION_BYTES;
  }
  return withPorts(quoted, ipv6.IPV6_BYTES + bytes, room, protocol);
}

function withPorts(quoted: usize, header: u32, room: u32, protocol: u32): u64 {
  if (protocol != ipv4.PROTOCOL_TCP && protocol != ipv4.PROTOCOL_UDP) return 0;
  if (room < header + QUOTED_BYTES) return 0;
  return <u64>(quoted + header) | ((<u64>protocol) << 32);
}
