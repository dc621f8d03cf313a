// GRE, RFC 2784 §2.1, with neither checksum nor key: four bytes.
//
//   0                 2               4
//   ├ flags version ──┼ protocol type ┤

export const GRE_BYTES: u32 = 4;

/** Writes the header in front of an IP packet, where its EtherType stands already: that is the protocol type. */
export function write(gre: usize): void {
  store<u16>(gre, 0);
}
