//   0               6               12          14
//   ├─ destination ─┼─ source ──────┼─ type ────┤

const DESTINATION: usize = 0;
const SOURCE: usize = 6;
const TYPE: usize = 12;

/** Bytes of the header, and of the part in front of the type. */
export const ETHERNET_BYTES: u32 = 14;
/** EtherTypes as a little-endian load sees them. */
export const ETHERTYPE_IPV4: u32 = 0x0008;
export const ETHERTYPE_IPV6: u32 = 0xdd86;

/** EtherType, or the tag protocol of a VLAN tag, raw. Needs 14 bytes. */
export function etherType(frame: usize): u32 {
  return load<u16>(frame, TYPE);
}

/** Writes the type that stands in front of `l3`, behind tags if there are any; raw. */
export function setInnerType(l3: usize, type: u32): void {
  store<u16>(l3 - 2, <u16>type);
}

/** Writes destination and source; the low 48 bits of each, in wire order. */
export function setAddresses(frame: usize, destination: u64, source: u64): void {
  store<u32>(frame, <u32>destination, DESTINATION);
  store<u64>(frame, ((destination >>> 32) & 0xffff) | (source << 16), DESTINATION + 4);
}

/** Exchanges destination and source. */
export function swapAddresses(frame: usize): void {
  const destination = load<u64>(frame, DESTINATION);
  const source = load<u64>(frame, SOURCE);
  setAddresses(frame, source, destination);
}
