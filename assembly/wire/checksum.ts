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

/** What it adds to a sum that a 32-bit word, or two of 16 bits, became another (RFC 1624 §3: ~m + m'). All raw. */
export function change(before: u32, after: u32): u64 {
  return <u64>~before + after;
}

/** The same of one 16-bit word. */
export function changeWord(before: u32, after: u32): u64 {
  return <u64>(~before & 0xffff) + after;
}

/** Corrects a checksum for words that changed: RFC 1624 eqn. 3. @param changes a sum of change() */
export function replaceSum(checksum: u32, changes: u64): u32 {
  return checksumOf(<u64>(~checksum & 0xffff) + changes);
}

/** Corrects a checksum for one 16-bit word that changed: RFC 1624 eqn. 3. All raw. */
export function replaceWord(checksum: u32, before: u32, after: u32): u32 {
  return replaceSum(checksum, changeWord(before, after));
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
