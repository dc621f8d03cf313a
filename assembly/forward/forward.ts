// From a chosen backend to a packet that can leave: resolve the next hop, encapsulate as the VIP's mode says,
// address it to the next hop. A mode is a way to rewrite (tunnel.ts for all that encapsulate, nat.ts) and a loop in forwardRun().

import { backends, interfaces } from "../instance";
import {
  BACKEND_BYTES,
  FORWARD_GRE,
  FORWARD_GUE,
  FORWARD_IPIP,
  FORWARD_L2,
  FORWARD_NAT,
  INTERFACE_BYTES,
  INTERFACE_MTU,
  NO_PORT,
  PACKET_BYTES,
  PACKET_KIND_ICMP_ERROR,
  PACKET_KIND_RETURN,
} from "../layout";
import {
  REASON_ECHO,
  REASON_NO_BACKEND,
  REASON_NO_ROUTE,
  REASON_NONE,
  REASON_PROBE,
  REASON_TOO_BIG,
  REASON_UNRESOLVED,
} from "../reasons";
import { Backend, Packet, Vip } from "../records";
import { NO_ROUTE, nextHopTo } from "../routes";
import { egress } from "./egress";
import { forwardL2 } from "./l2";
import { toBackend, toClient } from "./nat";
import { errorToBackend, errorToClient } from "./nat-error";
import { rehome } from "./rehome";
import { overcome } from "./too-big";
import { encapsulate } from "./tunnel";

function modeOf(packet: Packet): u32 {
  return changetype<Vip>(packet.vip).forward;
}

/** Whether a packet is forwarded in a mode. What is in no other, such as a self-test that is for no VIP, is in layer 2's. */
function isIn(packet: Packet, mode: u32): bool {
  const own = modeOf(packet);
  return mode == FORWARD_L2 ? own - FORWARD_GRE > FORWARD_NAT - FORWARD_GRE : own == mode;
}

/**
 * Rewrites the packet for its backend and chooses its port.
 * @param mode constant where it is called, so that each mode gets code of its own
 * @returns REASON_NONE, or why it cannot go; the packet is unchanged then
 */
function forward(packet: Packet, mode: u32): u32 {
  const backend = changetype<Backend>(backends + packet.backend * BACKEND_BYTES);
  const nextHop = atomic.load<u64>(changetype<usize>(backend));
  if (nextHop >>> 56 == 0) return REASON_UNRESOLVED;
  const slot = <u32>(nextHop >>> 48) & 0xff;
  const port = egress(packet.port, slot);
  if (port == NO_PORT) return REASON_UNRESOLVED;
  const egressInterface = interfaces + slot * INTERFACE_BYTES;
  const mtu = load<u32>(egressInterface, INTERFACE_MTU);
  if (mode == FORWARD_L2) {
    if (packet.ipLength > mtu) return REASON_TOO_BIG;
  } else {
    const vip = changetype<Vip>(packet.vip);
    const obstacle = inline.always(encapsulate(packet, vip, backend, mtu, mode));
    if (obstacle != REASON_NONE) return obstacle;
  }
  forwardL2(packet.start, nextHop, load<u64>(egressInterface));
  packet.port = <u8>port;
  return REASON_NONE;
}

/** Rewrites the packets from `first` on that are forwarded in this mode. @returns the record after the last of them */
function forwardIn(first: usize, end: usize, mode: u32): usize {
  let at = first;
  for (; at < end; at += PACKET_BYTES) {
    const packet = changetype<Packet>(at);
    if (packet.reason >= REASON_ECHO || !inline.always(isIn(packet, mode))) break;
    const obstacle = inline.always(forward(packet, mode));
    if (obstacle != REASON_NONE) packet.reason = <u8>overcome(packet, obstacle);
  }
  return at;
}

// Each mode has a loop of its own, so that none pays for the registers of another.

function forwardAllL2(first: usize, end: usize): usize {
  return inline.always(forwardIn(first, end, FORWARD_L2));
}

function forwardAllGre(first: usize, end: usize): usize {
  return inline.always(forwardIn(first, end, FORWARD_GRE));
}

function forwardAllIpip(first: usize, end: usize): usize {
  return inline.always(forwardIn(first, end, FORWARD_IPIP));
}

function forwardAllGue(first: usize, end: usize): usize {
  return inline.always(forwardIn(first, end, FORWARD_GUE));
}

/** Whether a packet to a backend has followed an entry from when its VIP had another pool. */
function isStray(packet: Packet, isReturn: bool): bool {
  const backend = changetype<Backend>(backends + packet.backend * BACKEND_BYTES);
  return !isReturn && packet.reason != REASON_PROBE && backend.pool != changetype<Vip>(packet.vip).pool;
}

/** As forward(), for VIPs that translate addresses, in both directions. */
function translate(packet: Packet): u32 {
  const isReturn = (packet.kind & PACKET_KIND_RETURN) != 0;
  if (isStray(packet, isReturn) && !rehome(packet)) return REASON_NO_BACKEND;
  const backend = changetype<Backend>(backends + packet.backend * BACKEND_BYTES);
  const nextHop = isReturn ? nextHopTo(packet) : atomic.load<u64>(changetype<usize>(backend));
  if (nextHop == NO_ROUTE) return REASON_NO_ROUTE;
  if (nextHop >>> 56 == 0) return REASON_UNRESOLVED;
  const slot = <u32>(nextHop >>> 48) & 0xff;
  const port = egress(packet.port, slot);
  if (port == NO_PORT) return REASON_UNRESOLVED;
  const egressInterface = interfaces + slot * INTERFACE_BYTES;
  if (packet.ipLength > load<u32>(egressInterface, INTERFACE_MTU)) return REASON_TOO_BIG;
  const isError = (packet.kind & PACKET_KIND_ICMP_ERROR) != 0;
  const obstacle = isReturn
    ? isError
      ? errorToClient(packet)
      : toClient(packet)
    : isError
      ? errorToBackend(packet, backend)
      : toBackend(packet, backend);
  if (obstacle != REASON_NONE) return obstacle;
  forwardL2(packet.start, nextHop, load<u64>(egressInterface));
  packet.port = <u8>port;
  return REASON_NONE;
}

/** Exported by the module, so that the compiler keeps it apart from the loops of other modes. */
export function forwardAllNat(first: usize, end: usize): usize {
  let at = first;
  for (; at < end; at += PACKET_BYTES) {
    const packet = changetype<Packet>(at);
    if (packet.reason >= REASON_ECHO || !isIn(packet, FORWARD_NAT)) break;
    const obstacle = inline.always(translate(packet));
    if (obstacle != REASON_NONE) packet.reason = <u8>overcome(packet, obstacle);
  }
  return at;
}

/**
 * Rewrites the packets from `first` on that are forwarded in the same mode; what cannot go gets another reason.
 * @returns the record after the last of them
 */
export function forwardRun(first: usize, end: usize): usize {
  const mode = modeOf(changetype<Packet>(first));
  if (mode == FORWARD_GRE) return forwardAllGre(first, end);
  if (mode == FORWARD_IPIP) return forwardAllIpip(first, end);
  if (mode == FORWARD_GUE) return forwardAllGue(first, end);
  if (mode == FORWARD_NAT) return forwardAllNat(first, end);
  return forwardAllL2(first, end);
}
