// The Internet checksum. Ones' complement addition does not care about byte order (RFC 1071 §2(B)), so all of
// it works on raw words.

/** Folds a sum below 2^35 to 16 bits, carries included. */
function foldSum(sum: u64): u32 {
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return <u32>((sum & 0xffff) + (sum >>> 16));
}

/** Checksum of up to eight raw words, of 16 or 32 bits, that add up to `sum`. Raw. */
export function checksumOf(sum: u64): u32 {
  return ~foldSum(sum) & 0xffff;
}

/** Corrects a checksum for one 16-bit word that changed: RFC 1624 eqn. 3. All raw. */
export function replaceWord(checksum: u32, before: u32, after: u32): u32 {
  return checksumOf(<u64>(~checksum & 0xffff) + (~before & 0xffff) + after);
}
