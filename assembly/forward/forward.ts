// From a chosen backend to a packet that can leave: resolve the next hop, encapsulate as the VIP's mode says,
// address it to the next hop. A mode is a module here and a line in encapsulate().

import { backends, block, interfaces, portAt } from "../instance";
import {
  BACKEND_BYTES,
  FORWARD_GRE,
  INTERFACE_BYTES,
  INTERFACE_MTU,
  NO_PORT,
  WORKER_EGRESS,
} from "../layout";
import { REASON_NONE, REASON_UNRESOLVED } from "../reasons";
import { Backend, Packet, Vip } from "../records";
import { forwardGre } from "./gre";
import { forwardL2 } from "./l2";

function encapsulate(packet: Packet, backend: Backend, mtu: u32): u32 {
  const vip = changetype<Vip>(packet.vip);
  if (vip.forward == FORWARD_GRE) return forwardGre(packet, vip, backend, mtu);
  return REASON_NONE;
}

/** The port by which an interface is reached: the one the packet came from if it can be. */
function egress(ingress: u32, interface_: u32): u32 {
  if (portAt(ingress).interface_ == interface_) return ingress;
  return load<u8>(block + interface_, WORKER_EGRESS);
}

/** Rewrites the packet for its backend and chooses its port. @returns REASON_NONE, or why it cannot go */
export function forward(packet: Packet): u32 {
  const backend = changetype<Backend>(backends + packet.backend * BACKEND_BYTES);
  const nextHop = atomic.load<u64>(changetype<usize>(backend));
  if (nextHop >>> 56 == 0) return REASON_UNRESOLVED;
  const slot = <u32>(nextHop >>> 48) & 0xff;
  const port = egress(packet.port, slot);
  if (port == NO_PORT) return REASON_UNRESOLVED;
  const egressInterface = interfaces + slot * INTERFACE_BYTES;
  const reason = encapsulate(packet, backend, load<u32>(egressInterface, INTERFACE_MTU));
  if (reason != REASON_NONE) return reason;
  forwardL2(packet.start, nextHop, load<u64>(egressInterface));
  packet.port = <u8>port;
  return REASON_NONE;
}
