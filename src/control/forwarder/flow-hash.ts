// The hash by which a new flow takes a slot (docs/datapath.md §4) and the key by which it is known (§2), in TypeScript: what
// the workers do is checked by something that is not theirs.

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

/** What a flow's key says of its service. */
export interface FlowService {
  number: number;
  /** Whether it has more than one address or port, which the key tells then. */
  wide: boolean;
}

/**
 * Key of the flow of a TCP or UDP packet.
 * @param secret four words, the machine's
 * @param ip as for slotOf()
 */
export function flowKey(secret: readonly bigint[], ip: Uint8Array, { number, wide }: FlowService): bigint {
  const view = new DataView(ip.buffer, ip.byteOffset, ip.byteLength);
  const half = (at: number) => BigInt(view.getUint16(at, true));
  const quarter = (at: number) => BigInt(view.getUint32(at, true));
  const word = (at: number) => view.getBigUint64(at, true);
  const v4 = ip[0]! >> 4 === 4;
  const ports = v4 ? 20 : 40;
  const client = v4 ? quarter(12) : [word(8), word(16)].reduce(fold, secret[1]!);
  const destination = [...(v4 ? [quarter(16), 0n] : [word(24), word(32)]), half(ports + 2)];
  let key = client ^ (half(ports) << 32n) ^ (BigInt(number) << 48n) ^ secret[0]!;
  if (wide) key ^= destination.reduce(fold, secret[2]!);
  key ^= key >> 32n;
  key = wrap(key * C);
  key ^= key >> 32n;
  key = wrap(key * C);
  return key ^ (key >> 28n);
}
