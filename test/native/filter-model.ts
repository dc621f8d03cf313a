// The XDP program's rules in plain TypeScript: sections 1 and 2 of docs/datapath.md as a filter.
// Slow and obvious, and sharing nothing with the C.
import { ICMP, ICMPV6, IPV4, IPV6, SERVICE_VLAN, TCP, UDP, VLAN } from "./packets.ts";

const MULTIPLIER = 0x0e9846af9b1a615dn;
const WORD = (1n << 64n) - 1n;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const EXTENSION_HEADERS = [0, ROUTING, FRAGMENT, AUTHENTICATION, 60, 135, 139, 140];

/** A service: the first 20 bytes of its SERVICE record. */
export function serviceKey(address: number[], protocol: number, port: number): Uint8Array {
  const key = new Uint8Array(20);
  key.set(address);
  key.set([port >> 8, port & 255, protocol, address.length === 4 ? 4 : 6], 16);
  return key;
}

/** Numbers of the services, by their key in hexadecimal. */
export type Services = Map<string, number>;

/** Finds a service; `wide`: it has more than one address or port. */
export type Find = (
  address: number[],
  protocol: number,
  port: number,
) => { number: number; wide: boolean } | undefined;

/** Services of one address and port each. */
export function exactly(services: Services): Find {
  return (address, protocol, port) => {
    const number = services.get(Buffer.from(serviceKey(address, protocol, port)).toString("hex"));
    return number === undefined ? undefined : { number, wide: false };
  };
}

export function addService(services: Services, key: Uint8Array, number: number): void {
  services.set(Buffer.from(key).toString("hex"), number);
}

/** The flow key of a packet for a VIP; null for one that is passed to the host. */
export function flowKey(packet: Uint8Array, findService: Find, secret: bigint[]): bigint | null {
  const at = (offset: number): number => packet[offset]!;
  const at16 = (offset: number): number => at(offset) * 256 + at(offset + 1);
  if (packet.length < 14) return null;
  let l3 = 14;
  for (let tags = 0; tags < 2 && [VLAN, SERVICE_VLAN].includes(at16(l3 - 2)); tags++) {
    if (packet.length < l3 + 4) return null;
    l3 += 4;
  }
  const type = at16(l3 - 2);
  if (type === IPV4) {
    if (packet.length < l3 + 20) return null;
    const header = (at(l3) & 15) * 4;
    const total = at16(l3 + 2);
    if (at(l3) >> 4 !== 4 || header < 20 || total < header || packet.length < l3 + total) return null;
    const fragment = (at16(l3 + 6) & 0x3fff) !== 0;
    return find(4, l3 + 16, at(l3 + 9), fragment, l3 + header, total - header, l3 + 12);
  }
  if (type === IPV6) {
    if (packet.length < l3 + 40) return null;
    const payload = at16(l3 + 4);
    if (at(l3) >> 4 !== 6 || packet.length < l3 + 40 + payload) return null;
    const end = l3 + 40 + payload;
    let next = at(l3 + 6);
    let l4 = l3 + 40;
    for (let headers = 0; EXTENSION_HEADERS.includes(next); headers++) {
      const byAddress = () => find(16, l3 + 24, next, true, l4, end - l4, l3 + 8);
      if (next === AUTHENTICATION || headers === 8) return byAddress();
      if (end - l4 < 8) return null;
      if (next === FRAGMENT && (at16(l4 + 2) & 0xfff9) !== 0) return byAddress();
      if (next === ROUTING && at(l4 + 3) !== 0) return byAddress();
      const bytes = next === FRAGMENT ? 8 : 8 + 8 * at(l4 + 1);
      if (end - l4 < bytes) return null;
      if (l4 + bytes > 255) return byAddress();
      next = at(l4);
      l4 += bytes;
    }
    return find(16, l3 + 24, next, false, l4, end - l4, l3 + 8);
  }
  return null;

  /** `addressRule`: a fragment, or what hides its ports. */
  function find(
    addressBytes: number,
    destination: number,
    protocol: number,
    addressRule: boolean,
    l4: number,
    room: number,
    source: number,
  ): bigint | null {
    const address = [...packet.subarray(destination, destination + addressBytes)];
    const icmp = addressBytes === 4 ? ICMP : ICMPV6;
    const hasPorts = !addressRule && (protocol === TCP || protocol === UDP);
    if (!addressRule && !hasPorts && protocol !== icmp) return null;
    if (!addressRule && room < (protocol === TCP ? 20 : 8)) return null;
    const service = findService(address, hasPorts ? protocol : icmp, hasPorts ? at16(l4 + 2) : 0);
    if (service === undefined) return null;
    const rest = (hasPorts ? raw(l4, 2) << 32n : 0n) | (BigInt(service.number) << 48n);
    const words =
      addressBytes === 4 ? [raw(destination, 4), 0n] : [raw(destination, 8), raw(destination + 8, 8)];
    const target = service.wide ? [...words, raw(l4 + 2, 2)].reduce(fold, secret[2]!) : 0n;
    if (addressBytes === 4) return mix((raw(source, 4) | rest) ^ target, secret[0]!);
    const folded = fold(fold(secret[1]!, raw(source, 8)), raw(source + 8, 8));
    return mix(folded ^ rest ^ target, secret[0]!);
  }

  /** Bytes as a little-endian number. */
  function raw(offset: number, bytes: number): bigint {
    let value = 0n;
    for (let index = bytes - 1; index >= 0; index--) value = (value << 8n) | BigInt(at(offset + index));
    return value;
  }
}

/** Shard of a flow key. */
export function shardOf(key: bigint): number {
  return Number(key & 255n);
}

function mix(word: bigint, secret: bigint): bigint {
  let key = word ^ secret;
  key ^= key >> 32n;
  key = (key * MULTIPLIER) & WORD;
  key ^= key >> 32n;
  key = (key * MULTIPLIER) & WORD;
  return key ^ (key >> 28n);
}

function fold(hash: bigint, word: bigint): bigint {
  const product = ((hash ^ word) * MULTIPLIER) & WORD;
  return product ^ (product >> 32n);
}
