// UDP header, RFC 768.
//
//   0        2             4        6          8
//   ├ source ┼ destination ┼ length ┼ checksum ┤

const PORTS: usize = 0;
const LENGTH: usize = 4;
const CHECKSUM: usize = 6;

export const UDP_BYTES: u32 = 8;

/** Source port in the low, destination port in the high half, both raw. */
export function ports(udp: usize): u32 {
  return load<u32>(udp, PORTS);
}
/** Bytes of header and data. */
export function length(udp: usize): u32 {
  return bswap<u16>(load<u16>(udp, LENGTH));
}
/** Raw; 0 where the sender computed none. */
export function checksum(udp: usize): u32 {
  return load<u16>(udp, CHECKSUM);
}
/** Writes a computed checksum: 0 as its complement, since 0 means that there is none (RFC 768). */
export function setChecksum(udp: usize, checksum: u32): void {
  store<u16>(udp, <u16>(checksum == 0 ? 0xffff : checksum), CHECKSUM);
}

/**
 * Writes a header without a checksum: over IPv4 that is allowed to all (RFC 768), over IPv6 to tunnels (RFC 6935, RFC 6936).
 * @param source port, a number
 * @param destination port, raw
 */
export function write(udp: usize, source: u32, destination: u32, length: u32): void {
  const ports = <u32>bswap<u16>(<u16>source) | (destination << 16);
  store<u64>(udp, <u64>ports | ((<u64>bswap<u16>(<u16>length)) << 32));
}
