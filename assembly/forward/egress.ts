// The way out of a packet.

import { block, portAt } from "../instance";
import { PORT_KIND_SELF_TEST, WORKER_EGRESS } from "../layout";

/** The port by which an interface is reached: the one the packet came from if it can be. A self-test goes back in any case. */
export function egress(ingress: u32, interface_: u32): u32 {
  const port = portAt(ingress);
  if (port.interface_ == interface_ || port.kind == PORT_KIND_SELF_TEST) return ingress;
  return load<u8>(block + interface_, WORKER_EGRESS);
}
