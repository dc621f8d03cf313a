// Lookup of a service of more than one address or port: of the prefixes that contain the address, the longest one that has the
// port; in it the narrowest of what the configuration says (a port, a range, every port), which the controller has
// resolved into ranges that do not overlap.

import { block } from "./instance";
import {
  NO_PREFIX,
  RANGE_BYTES,
  RANGE_FIRST,
  RANGE_LAST,
  RANGE_VIP,
  SERVICE_NUMBER,
  SERVICE_PORT,
  SERVICE_VIP,
  SERVICE_WIDE,
  SERVICES_WILDCARDS,
  WILDCARD_ADDRESS,
  WILDCARD_ADDRESS_VIP,
  WILDCARD_PARENT,
  WILDCARD_PORTS_COUNT,
  WILDCARD_PORTS_NUMBER,
  WILDCARD_PORTS_RANGES,
  WILDCARD_TCP,
  WILDCARD_UDP,
  WORKER_WILDCARD,
} from "./layout";
import { findPrefix } from "./prefix-map";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "./wire/ipv4";

/**
 * Exported by the module, so that the compiler leaves it out of the pipeline's loop.
 * @param services the published block
 * @param tail as tailOf makes it
 * @returns address of a service's record for this very address and port, in the worker's own block and until the next call;
 *   0 for none
 */
export function findWildcard(services: usize, address0: u64, address1: u64, tail: u32): usize {
  const map: usize = services + load<u32>(services, SERVICES_WILDCARDS);
  const protocol = (tail >>> 16) & 0xff;
  let offset = findPrefix(map, tail >>> 24, address0, address1);
  if (offset == NO_PREFIX) return 0;
  for (; offset != 0; offset = load<u32>(services + offset, WILDCARD_PARENT)) {
    const wildcard: usize = services + offset;
    if (protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP) {
      const ports: usize = wildcard + (protocol == PROTOCOL_TCP ? WILDCARD_TCP : WILDCARD_UDP);
      const range = findRange(services, ports, bswap<u16>(<u16>tail));
      if (range == 0) continue;
      const number = load<u16>(ports, WILDCARD_PORTS_NUMBER);
      return copy(address0, address1, tail, number, load<u16>(range, RANGE_VIP), 1);
    }
    const number = load<u16>(wildcard, WILDCARD_ADDRESS);
    if (number != 0)
      return copy(address0, address1, tail, number, load<u16>(wildcard, WILDCARD_ADDRESS_VIP), 0);
  }
  return 0;
}

/** Address of the range that has a port, or 0: by halving. */
function findRange(services: usize, ports: usize, port: u32): usize {
  const ranges: usize = services + load<u32>(ports, WILDCARD_PORTS_RANGES);
  let from: u32 = 0;
  let end = load<u32>(ports, WILDCARD_PORTS_COUNT);
  while (from < end) {
    const middle = (from + end) >>> 1;
    const range = ranges + middle * RANGE_BYTES;
    if (port < <u32>load<u16>(range, RANGE_FIRST)) end = middle;
    else if (port > <u32>load<u16>(range, RANGE_LAST)) from = middle + 1;
    else return range;
  }
  return 0;
}

function copy(address0: u64, address1: u64, tail: u32, number: u16, vip: u16, wide: u8): usize {
  const slot = block + WORKER_WILDCARD;
  store<u64>(slot, address0);
  store<u64>(slot, address1, 8);
  store<u32>(slot, tail, SERVICE_PORT);
  store<u16>(slot, number, SERVICE_NUMBER);
  store<u16>(slot, vip, SERVICE_VIP);
  store<u8>(slot, wide, SERVICE_WIDE);
  return slot;
}
