// Layer 2, direct server return: the packet stays as it is and gets a new pair of MAC addresses.

import { setAddresses } from "../wire/ethernet";

const MAC: u64 = 0xffffffffffff;

/** @param nextHop and @param source hold a MAC address in their low 48 bits */
export function forwardL2(frame: usize, nextHop: u64, source: u64): void {
  setAddresses(frame, nextHop & MAC, source & MAC);
}
