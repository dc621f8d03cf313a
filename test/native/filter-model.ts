// The XDP program's rules in plain TypeScript: sections 1 and 2 of docs/datapath.md as a filter.
// Slow and obvious, and sharing nothing with the C.
import { ICMP, ICMPV6, IPV4, IPV6, SERVICE_VLAN, TCP, UDP, VLAN } from "./packets.ts";

const MULTIPLIER = 0x0e9846af9b1a615dn;
const WORD = (1n << 64n) - 1n;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const EXTENSION_HEADERS = [0, ROUTING, FRAGMENT, AUTHENTICATION, 60, 135, 139, 140];

/** What a key may be of: a service, a place that a backend answers from, an address of the machine. */
const KINDS = { service: 0, return: 16, own: 32 };

/** The first 20 bytes of a SERVICE record. */
export function serviceKey(
  address: number[],
  protocol: number,
  port: number,
  kind: keyof typeof KINDS = "service",
): Uint8Array {
  const key = new Uint8Array(20);
  key.set(address);
  key.set([port >> 8, port & 255, protocol, (address.length === 4 ? 4 : 6) + KINDS[kind]], 16);
  return key;
}

/** What the program's map says, by the key in hexadecimal. */
export type Services = Map<string, number>;

/** Finds a service; `wide`: it has more than one address or port. */
export interface Find {
  (address: number[], protocol: number, port: number): { number: number; wide: boolean } | undefined;
  /** What else the map has: where backends answer from, and addresses of the machine. */
  slots?: Services;
}

/** Services of one address and port each. */
export function exactly(services: Services): Find {
  const find: Find = (address, protocol, port) => {
    const number = services.get(Buffer.from(serviceKey(address, protocol, port)).toString("hex"));
    return number === undefined ? undefined : { number, wide: false };
  };
  find.slots = services;
  return find;
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
    if (service === undefined) return hasPorts ? answer(address, at16(l4 + 2)) : null;
    const words =
      addressBytes === 4 ? [raw(destination, 4), 0n] : [raw(destination, 8), raw(destination + 8, 8)];
    const target = service.wide ? [...words, raw(l4 + 2, 2)].reduce(fold, secret[2]!) : 0n;
    return keyOf(service.number, source, hasPorts ? raw(l4, 2) : 0n, target);

    /** The key of a packet that a backend sends to a client: the client's packets have it, too. */
    function answer(client: number[], clientPort: number): bigint | null {
      const backend = [...packet.subarray(source, source + addressBytes)];
      const number = slotOf(serviceKey(backend, protocol, at16(l4), "return"));
      if (number === undefined) return null;
      const range = slotOf(serviceKey(client, 0, 0, "own"));
      const [first, count] = [(range ?? 0) & 0xffff, (range ?? 0) >>> 16];
      if (range !== undefined && (clientPort < first || clientPort >= first + count)) return null;
      return keyOf(number, destination, raw(l4 + 2, 2), 0n);
    }

    /** @param end where the client's address is @param port the client's, raw */
    function keyOf(number: number, end: number, port: bigint, target: bigint): bigint {
      const rest = (port << 32n) | (BigInt(number) << 48n);
      if (addressBytes === 4) return mix((raw(end, 4) | rest) ^ target, secret[0]!);
      return mix(fold(fold(secret[1]!, raw(end, 8)), raw(end + 8, 8)) ^ rest ^ target, secret[0]!);
    }
  }

  function slotOf(key: Uint8Array): number | undefined {
    return findService.slots?.get(Buffer.from(key).toString("hex"));
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
