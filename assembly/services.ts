// Lookup of a service by (address, protocol, port): a small open-addressing hash table that the controller
// builds and publishes as one block (see layout.ts). What is not in it may be a wildcard's (wildcards.ts).

import { slotHash } from "./hash";
import {
  HEADER_SERVICES,
  SERVICE_BYTES,
  SERVICE_FAMILY,
  SERVICE_NUMBER,
  SERVICE_PORT,
  SERVICE_VIP,
  SERVICE_WIDE,
  SERVICES_ADDRESSES,
  SERVICES_FLAGS,
  SERVICES_MASK,
  SERVICES_SLOTS,
  SERVICES_VIPS,
  SERVICES_WILDCARDS,
  VIP_BYTES,
  VIP_FLAG_NAT,
} from "./layout";
import { findWildcard } from "./wildcards";

/** The published block, as read at the start of the batch. */
export let services: usize = 0;
/** VIP_FLAG_* that occur in it. */
export let flagsOfAll: u32 = 0;
/** Hash slots from which on services, VIPs and backends are taken to be more than the inner caches hold. */
const MANY: u32 = 1024;
/** Searches of a batch from which on its packets are taken to be spread over many services. */
const SPREAD: u32 = 16;
let searches: u32 = 0;
/** Whether the last batch was spread over many services: then it pays to touch what the next one needs (touch.ts). */
export let isSpread: bool = false;

/** The slot found last, or the copy of a wildcard's: the next packet is often for the same service. */
let latest: usize = 0;
/** Address of its VIP record. */
export let latestVip: u32 = 0;

/** Reads the published block's address; valid until the worker next shows its epoch. */
export function refreshServices(): void {
  services = atomic.load<u32>(HEADER_SERVICES);
  if (services == 0) {
    latest = 0;
    return;
  }
  flagsOfAll = load<u32>(services, SERVICES_FLAGS);
  isSpread = searches >= SPREAD && load<u32>(services, SERVICES_MASK) >= MANY - 1;
  searches = 0;
  remember(services + SERVICES_SLOTS);
}

function remember(slot: usize): void {
  latest = slot;
  latestVip = vipOf(slot);
}

/** Address of the VIP record that a slot refers to. */
export function vipOf(slot: usize): u32 {
  return <u32>(services + load<u32>(services, SERVICES_VIPS) + load<u16>(slot, SERVICE_VIP) * VIP_BYTES);
}

/** Whether some VIP has backends whose answers pass through. */
export function hasReturns(): bool {
  return (flagsOfAll & VIP_FLAG_NAT) != 0;
}

/** One branch instead of three. */
function holds(slot: usize, address0: u64, address1: u64, tail: u32): bool {
  return (
    ((load<u64>(slot) ^ address0) |
      (load<u64>(slot, 8) ^ address1) |
      <u64>(load<u32>(slot, SERVICE_PORT) ^ tail)) ==
    0
  );
}

/** Last four bytes of a service's key: port, protocol and family. @param port raw */
export function tailOf(port: u32, protocol: u32, family: u32): u32 {
  return port | (protocol << 16) | (family << 24);
}

/** Address of the service's hash slot, or 0. @param address0 first 8 bytes of the key's address, raw */
export function findService(address0: u64, address1: u64, tail: u32): usize {
  return holds(latest, address0, address1, tail) ? latest : search(address0, address1, tail);
}

/** Address of the hash slot where a search begins. */
export function slotOfHash(hash: u32): usize {
  return services + SERVICES_SLOTS + (hash & load<u32>(services, SERVICES_MASK)) * SERVICE_BYTES;
}

function search(address0: u64, address1: u64, tail: u32): usize {
  let found = findSlot(address0, address1, tail);
  if (found == 0) {
    if (services == 0 || load<u32>(services, SERVICES_WILDCARDS) == 0) return 0;
    found = findWildcard(services, address0, address1, tail);
  }
  if (found != 0) remember(found);
  return found;
}

/** Address of the slot of exactly this key, of any kind, or 0. Nothing is remembered. */
export function findSlot(address0: u64, address1: u64, tail: u32): usize {
  if (services == 0) return 0;
  searches++;
  const mask = load<u32>(services, SERVICES_MASK);
  let i = slotHash(address0, address1, tail) & mask;
  for (;;) {
    const slot = services + SERVICES_SLOTS + i * SERVICE_BYTES;
    if (holds(slot, address0, address1, tail)) return slot;
    if (load<u8>(slot, SERVICE_FAMILY) == 0) break;
    i = (i + 1) & mask;
  }
  return 0;
}

/**
 * Whether an address is a VIP's. Most are not, and are found not to be without a search, whose branches nobody predicts.
 * @param tail of the address service
 */
export function isVip(address0: u64, address1: u64, tail: u32): bool {
  const top = slotHash(address0, address1, tail) >>> 24;
  const bits: u32 = load<u8>(services + (top >>> 3), SERVICES_ADDRESSES);
  return ((bits >>> (top & 7)) & 1) != 0 && findService(address0, address1, tail) != 0;
}

export function serviceNumber(slot: usize): u32 {
  return load<u16>(slot, SERVICE_NUMBER);
}

/** Whether it is a wildcard, whose number does not tell address and port. */
export function isWide(slot: usize): bool {
  return load<u8>(slot, SERVICE_WIDE) != 0;
}
