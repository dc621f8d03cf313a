// Fragments (RFC 791 §3.2, RFC 8200 §4.5; the paper's §4.3): only the first one of a datagram has ports. All of them reach one
// worker, because the XDP program steers them by source and address service; it learns the ports from the first and gives them to the
// others, which wait if they come earlier. A fragment whose ports are known is treated like any packet of its flow. Those that
// backends send to clients (`nat`) are steered by the client's address, and are answers then.
//
// Rare, so it is beside the way of other packets: the two entries are exported by the module, so that the compiler does not put
// them into the middle of the pipeline.

import { addressKey, clientKey } from "./address-key";
import { fragmentOffset6, hasMoreFragments6, identification6 } from "./extensions";
import { findFlow4, findFlow6 } from "./flow";
import { learn, portsOf } from "./fragment-table";
import { datagramTag4, datagramTag6 } from "./hash";
import { portAt, self } from "./instance";
import { MAX_LAYER4_OFFSET, PACKET_KIND_FRAGMENT, PACKET_KIND_RETURN, PORT_KIND_TRAFFIC } from "./layout";
import { addressRule } from "./parse";
import { ownerOf } from "./ports";
import {
  REASON_BAD_HEADER,
  REASON_BAD_LENGTH,
  REASON_EXTENSION_HEADER,
  REASON_FRAGMENT,
  REASON_FRAGMENT_TINY,
  REASON_HANDED,
  REASON_HELD,
  REASON_NONE,
  REASON_NOT_VIP,
} from "./reasons";
import { Packet } from "./records";
import { isSender, parseReturn } from "./returns";
import { hasReturns } from "./services";
import * as ipv4 from "./wire/ipv4";
import * as ipv6 from "./wire/ipv6";
import * as tcp from "./wire/tcp";
import * as udp from "./wire/udp";

/** Largest datagram. */
const MOST_BYTES: u32 = 65535;

/** @param rest bytes behind the header, at l4 */
export function parseFragment4(packet: Packet, ip: usize, l4: usize, rest: u32): u32 {
  const destination: u64 = ipv4.destination(ip);
  const reason = addressRule(packet, destination, 0, ipv4.PROTOCOL_ICMP, REASON_FRAGMENT);
  if (!hasPorts(packet.protocol)) return reason;
  if (reason == REASON_NOT_VIP && !isFromSender(packet)) return reason;
  const offset = ipv4.fragmentOffset(ip);
  const wrong = check(packet, l4, rest, offset, ipv4.hasMoreFragments(ip));
  if (wrong != REASON_NONE) return wrong;
  if (packet.kind != PACKET_KIND_FRAGMENT) {
    packet.tag = datagramTag4(
      ipv4.source(ip),
      ipv4.destination(ip),
      ipv4.identification(ip),
      packet.protocol,
    );
  }
  const obstacle = findPorts(packet, offset == 0, offset == 0 ? tcp.ports(l4) : 0);
  if (obstacle != REASON_NONE) return obstacle;
  if (packet.vip == 0) return belongToAnswer(packet);
  const isFlow = findFlow4(packet, ipv4.source(ip), destination, packet.ports, packet.protocol);
  return isFlow ? REASON_NONE : REASON_FRAGMENT;
}

/** @param header a fragment header of more than one fragment, readable @param room bytes from there on */
export function parseFragment6(packet: Packet, ip: usize, header: usize, room: u32): u32 {
  const address0 = ipv6.destination0(ip);
  const address1 = ipv6.destination1(ip);
  const protocol: u32 = load<u8>(header);
  const isFar = packet.l4 > MAX_LAYER4_OFFSET - ipv6.EXTENSION_BYTES;
  const isHidden = isFar || ipv6.isExtension(protocol);
  const reason = addressRule(
    packet,
    address0,
    address1,
    ipv6.NEXT_ICMPV6,
    isHidden ? REASON_EXTENSION_HEADER : REASON_FRAGMENT,
  );
  if (isHidden || !hasPorts(protocol)) return reason;
  packet.protocol = <u8>protocol;
  if (reason == REASON_NOT_VIP && !isFromSender(packet)) return reason;
  packet.l4 = <u8>(packet.l4 + ipv6.EXTENSION_BYTES);
  const l4 = header + ipv6.EXTENSION_BYTES;
  const offset = fragmentOffset6(header);
  const wrong = check(packet, l4, room - ipv6.EXTENSION_BYTES, offset, hasMoreFragments6(header));
  if (wrong != REASON_NONE) return wrong;
  const source0 = ipv6.source0(ip);
  const source1 = ipv6.source1(ip);
  if (packet.kind != PACKET_KIND_FRAGMENT) {
    packet.tag = datagramTag6(source0, source1, address0, address1, identification6(header), protocol);
  }
  const obstacle = findPorts(packet, offset == 0, offset == 0 ? tcp.ports(l4) : 0);
  if (obstacle != REASON_NONE) return obstacle;
  if (packet.vip == 0) return belongToAnswer(packet);
  const isFlow = findFlow6(packet, source0, source1, address0, address1, packet.ports, protocol);
  return isFlow ? REASON_NONE : REASON_FRAGMENT;
}

/** Whether a fragment for no VIP may be of an answer (`nat`): if so, it has the key by which it is steered. */
function isFromSender(packet: Packet): bool {
  if (!hasReturns() || !isSender(packet)) return false;
  packet.key = clientKey(packet);
  return true;
}

/** The flow of an answer's fragment whose ports are known. They are kept in its tag, in case that another worker gets it. */
function belongToAnswer(packet: Packet): u32 {
  const ports = packet.ports;
  if (parseReturn(packet, ports) != REASON_NONE) return REASON_FRAGMENT;
  packet.kind = <u8>(PACKET_KIND_FRAGMENT | PACKET_KIND_RETURN);
  packet.tag = ports;
  return REASON_NONE;
}

function hasPorts(protocol: u32): bool {
  return protocol == ipv4.PROTOCOL_TCP || protocol == ipv4.PROTOCOL_UDP;
}

/** Whether a fragment may be part of a datagram. The first one must have the whole layer-4 header (RFC 1858, RFC 3128, RFC 7112). */
function check(packet: Packet, l4: usize, rest: u32, offset: u32, more: bool): u32 {
  if (rest == 0 || (more && (rest & 7) != 0) || offset + rest > MOST_BYTES) return REASON_BAD_LENGTH;
  const isTcp = packet.protocol == ipv4.PROTOCOL_TCP;
  if (offset != 0) return isTcp && offset < tcp.TCP_BYTES ? REASON_FRAGMENT_TINY : REASON_NONE;
  const least = isTcp ? tcp.TCP_BYTES : udp.UDP_BYTES;
  if (rest < least) return REASON_FRAGMENT_TINY;
  if (!isTcp) return udp.length(l4) < udp.UDP_BYTES ? REASON_BAD_LENGTH : REASON_NONE;
  const header = tcp.headerBytes(l4);
  if (header < tcp.TCP_BYTES) return REASON_BAD_HEADER;
  if (rest < header) return REASON_FRAGMENT_TINY;
  packet.tcpFlags = <u8>tcp.flags(l4);
  return REASON_NONE;
}

/**
 * Finds the ports of a fragment's flow: it brings them, or its datagram is known, or another worker has found them.
 * @param ports those in the packet, if it is the first
 */
function findPorts(packet: Packet, isFirst: bool, ports: u32): u32 {
  if (packet.kind == PACKET_KIND_FRAGMENT) return packet.ports == 0 ? <u32>packet.tag : REASON_NONE;
  // The controller's own packets touch no state.
  if (portAt(packet.port).kind != PORT_KIND_TRAFFIC) return REASON_FRAGMENT;
  packet.kind = <u8>PACKET_KIND_FRAGMENT;
  packet.ports = 0;
  // What is for no VIP has its key already.
  const key = packet.vip == 0 ? packet.key : addressKey(packet);
  packet.key = key;
  if (ownerOf(key) != self) return REASON_HANDED;
  if (isFirst) {
    // No ports at all could not be handed over; and no service has port 0.
    if (ports == 0) return REASON_FRAGMENT;
    learn(key, packet.tag, ports);
  } else {
    ports = portsOf(key, packet.tag);
    if (ports == 0) return REASON_HELD;
  }
  packet.ports = ports;
  return REASON_NONE;
}
