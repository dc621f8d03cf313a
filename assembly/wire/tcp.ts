// TCP header, RFC 9293 §3.1: what a balancer looks at.
//
//   0        2             4          8        12        13      14       16         18
//   ├ source ┼ destination ┼ sequence ┼ ack ───┼ offset ─┼ flags ┼ window ┼ checksum ┼ …

const PORTS: usize = 0;
const DATA_OFFSET: usize = 12;
const FLAGS: usize = 13;
const CHECKSUM: usize = 16;

export const TCP_BYTES: u32 = 20;
/** Up to the end of the checksum. */
export const CHECKED_BYTES: u32 = 18;
export const FIN: u32 = 1;
export const SYN: u32 = 2;
export const RST: u32 = 4;
export const ACK: u32 = 16;

// Every getter needs 20 bytes.

/** Source port in the low, destination port in the high half, both raw. */
export function ports(tcp: usize): u32 {
  return load<u32>(tcp, PORTS);
}
/** Bytes of the header with its options. */
export function headerBytes(tcp: usize): u32 {
  return (load<u8>(tcp, DATA_OFFSET) >>> 4) << 2;
}
export function flags(tcp: usize): u32 {
  return load<u8>(tcp, FLAGS);
}
/** Raw. */
export function checksum(tcp: usize): u32 {
  return load<u16>(tcp, CHECKSUM);
}
export function setChecksum(tcp: usize, checksum: u32): void {
  store<u16>(tcp, <u16>checksum, CHECKSUM);
}
