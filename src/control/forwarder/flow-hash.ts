// The hash by which a new flow takes a slot (docs/datapath.md §4), in TypeScript: what the workers do is checked by
// something that is not theirs.

const C = 0x0e9846af9b1a615dn;
const wrap = (value: bigint): bigint => BigInt.asUintN(64, value);

function fold(h: bigint, word: bigint): bigint {
  const product = wrap((h ^ word) * C);
  return product ^ (product >> 32n);
}

/**
 * Slot of the flow of a TCP or UDP packet.
 * @param ip its bytes from the IP header on, without options or extension headers
 * @param size of the lookup table
 */
export function slotOf(seed: bigint, ip: Uint8Array, size: number): number {
  const view = new DataView(ip.buffer, ip.byteOffset, ip.byteLength);
  const word = (at: number) => view.getBigUint64(at, true);
  const v4 = ip[0]! >> 4 === 4;
  // Source and destination address, then ports and protocol.
  const addresses = v4 ? [word(12)] : [word(8), word(16), word(24), word(32)];
  const ports = BigInt(view.getUint32(v4 ? 20 : 40, true));
  const protocol = BigInt(ip[v4 ? 9 : 6]!);
  let h = [...addresses, ports | (protocol << 32n)].reduce(fold, seed);
  h ^= h >> 29n;
  const hash = wrap(h * C) >> 32n;
  return Number((hash * BigInt(size)) >> 32n);
}
