// GRE, RFC 2784 §2.1, with neither checksum nor key: four bytes.
//
//   0                 2               4
//   ├ flags version ──┼ protocol type ┤

export const GRE_BYTES: u32 = 4;

/** Writes the header. @param etherType of what is inside, raw */
export function write(gre: usize, etherType: u32): void {
  store<u32>(gre, etherType << 16);
}
