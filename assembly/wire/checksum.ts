// The Internet checksum. Ones' complement addition does not care about byte order (RFC 1071 §2(B)), so all of
// it works on raw words.

/** Folds a sum to 16 bits: adding the halves, swapped, to themselves leaves their sum with its carry in the upper one. */
function foldSum(sum: u64): u32 {
  const half = <u32>((sum + rotr(sum, 32)) >>> 32);
  return (half + rotr(half, 16)) >>> 16;
}

/** Checksum of raw words, of 16 or 32 bits, that add up to `sum`. Raw. */
export function checksumOf(sum: u64): u32 {
  return ~foldSum(sum) & 0xffff;
}

/** Corrects a checksum for one 16-bit word that changed: RFC 1624 eqn. 3. All raw. */
export function replaceWord(checksum: u32, before: u32, after: u32): u32 {
  return checksumOf(<u64>(~checksum & 0xffff) + (~before & 0xffff) + after);
}

/** Sum of the words of `length` bytes, for checksumOf(); an odd last byte is the low half of a word whose other half is 0. */
export function sumOf(at: usize, length: u32): u64 {
  let sum: u64 = 0;
  const end = at + length;
  for (; at + 4 <= end; at += 4) sum += load<u32>(at);
  if (at + 2 <= end) {
    sum += load<u16>(at);
    at += 2;
  }
  return at < end ? sum + load<u8>(at) : sum;
}
