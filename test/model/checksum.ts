// The Internet checksum: RFC 1071 (definition), RFC 1624 (incremental update).

/** One's complement sum of 16-bit words; an odd last byte counts as the high half of a word (RFC 1071 §1). */
export function onesSum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum = onesAdd(sum, bytes[i]! * 256 + (bytes[i + 1] ?? 0));
  return sum;
}

/** The checksum of bytes whose checksum field is zero. */
export function checksum(bytes: Uint8Array): number {
  return 0xffff - onesSum(bytes);
}

/** A checksum after one 16-bit word changed: HC' = ~(~HC + ~m + m'), equation 3 of RFC 1624. */
export function updated(hc: number, before: number, after: number): number {
  return 0xffff - onesAdd(onesAdd(0xffff - hc, 0xffff - before), after);
}

function onesAdd(a: number, b: number): number {
  const sum = a + b;
  return sum > 0xffff ? sum - 0xffff : sum;
}
