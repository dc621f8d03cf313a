// The Internet checksum. Ones' complement addition does not care about byte order (RFC 1071 §2(B)), so all of
// it works on raw words.

function foldSum(sum: u64): u32 {
  let s = (sum & 0xffffffff) + (sum >>> 32);
  s = (s & 0xffff) + ((s >>> 16) & 0xffff) + (s >>> 32);
  s = (s & 0xffff) + (s >>> 16);
  s = (s & 0xffff) + (s >>> 16);
  return <u32>s;
}

/** Checksum of an IPv4 header of 20 bytes whose checksum field is 0. Raw. */
export function sumHeader(ip: usize): u32 {
  const sum: u64 = <u64>load<u32>(ip) + load<u32>(ip, 4) + load<u32>(ip, 8) + load<u32>(ip, 12) + load<u32>(ip, 16);
  return ~foldSum(sum) & 0xffff;
}

/** Corrects a checksum for one 16-bit word that changed: RFC 1624 eqn. 3. All raw. */
export function replaceWord(checksum: u32, before: u32, after: u32): u32 {
  return ~foldSum(<u64>(~checksum & 0xffff) + (~before & 0xffff) + after) & 0xffff;
}
