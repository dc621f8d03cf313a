// The XDP program's rules in plain TypeScript: sections 1 and 2 of docs/datapath.md as a filter.
// Slow and obvious, and sharing nothing with the C.
import { ICMP, ICMPV6, IPV4, IPV6, SERVICE_VLAN, TCP, UDP, VLAN } from "./packets.ts";

const MULTIPLIER = 0x0e9846af9b1a615dn;
const WORD = (1n << 64n) - 1n;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const EXTENSION_HEADERS = [0, ROUTING, FRAGMENT, AUTHENTICATION, 60, 135, 139, 140];

/** What a key may be of: a service, a place that a backend answers from, an address of the machine, a backend's address. */
const KINDS = { service: 0, return: 16, own: 32, sender: 64 };

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
    return find(
      4,
      l3 + 16,
      at(l3 + 9),
      fragment ? "fragment" : undefined,
      l3 + header,
      total - header,
      l3 + 12,
    );
  }
  if (type === IPV6) {
    if (packet.length < l3 + 40) return null;
    const payload = at16(l3 + 4);
    if (at(l3) >> 4 !== 6 || packet.length < l3 + 40 + payload) return null;
    const end = l3 + 40 + payload;
    const how = walk(at(l3 + 6), l3 + 40, end, 255);
    if (how === null) return null;
    const { next, l4, stopped } = how;
    if (stopped === "fragment" && l4 + 8 <= 255)
      return find(16, l3 + 24, at(l4), "fragment", l4, end - l4, l3 + 8);
    if (stopped) return find(16, l3 + 24, next, "refused", l4, end - l4, l3 + 8);
    return find(16, l3 + 24, next, undefined, l4, end - l4, l3 + 8);
  }
  return null;

  /** Walks extension headers. `stopped`: at one that is not walked, or a fragment header; null: one is cut short. */
  function walk(
    first: number,
    from: number,
    end: number,
    most: number,
  ): { next: number; l4: number; stopped?: "refused" | "fragment" } | null {
    let next = first;
    let l4 = from;
    for (let headers = 0; EXTENSION_HEADERS.includes(next); headers++) {
      const refused = { next, l4, stopped: "refused" } as const;
      if (next === AUTHENTICATION || headers === 8) return refused;
      if (end - l4 < 8) return null;
      if (next === FRAGMENT && (at16(l4 + 2) & 0xfff9) !== 0) return { next, l4, stopped: "fragment" };
      if (next === ROUTING && at(l4 + 3) !== 0) return refused;
      const bytes = next === FRAGMENT ? 8 : 8 + 8 * at(l4 + 1);
      if (end - l4 < bytes) return null;
      if (l4 + bytes > most) return refused;
      next = at(l4);
      l4 += bytes;
    }
    return { next, l4 };
  }

  /** `addressRule`: a fragment, of which `protocol` is, or what hides its ports. */
  function find(
    addressBytes: number,
    destination: number,
    protocol: number,
    addressRule: "refused" | "fragment" | undefined,
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
    if (service === undefined) {
      if (hasPorts) return answer(source, protocol, l4, l4 + 2);
      if (addressRule === "fragment") return answeredFragment();
      return addressRule ? null : answeredError();
    }
    const words =
      addressBytes === 4 ? [raw(destination, 4), 0n] : [raw(destination, 8), raw(destination + 8, 8)];
    const target = service.wide ? [...words, raw(l4 + 2, 2)].reduce(fold, secret[2]!) : 0n;
    return keyOf(service.number, source, hasPorts ? raw(l4, 2) : 0n, target);

    /**
     * The key of a packet that a backend sends to a client: the client's packets have it, too.
     * @param backend where its address is @param port where its port is @param clientPort where the client's is
     */
    function answer(backend: number, protocol: number, port: number, clientPort: number): bigint | null {
      const from = [...packet.subarray(backend, backend + addressBytes)];
      const number = slotOf(serviceKey(from, protocol, at16(port), "return"));
      if (number === undefined) return null;
      const range = slotOf(serviceKey(address, 0, 0, "own"));
      const [first, count] = [(range ?? 0) & 0xffff, (range ?? 0) >>> 16];
      const ofClient = at16(clientPort);
      if (range !== undefined && (ofClient < first || ofClient >= first + count)) return null;
      return keyOf(number, destination, raw(clientPort, 2), 0n);
    }

    /** The key of a fragment that a backend sends to a client: the client's address. */
    function answeredFragment(): bigint | null {
      const backend = [...packet.subarray(source, source + addressBytes)];
      const isSender = slotOf(serviceKey(backend, protocol, 0, "sender")) !== undefined;
      const isOwn = slotOf(serviceKey(address, 0, 0, "own")) !== undefined;
      return isSender && !isOwn ? keyOf(0, destination, 0n, 0n) : null;
    }

    /** The key of an ICMP error that quotes a packet of a client's to a backend. */
    function answeredError(): bigint | null {
      const isV4 = addressBytes === 4;
      if (!(isV4 ? [3, 11, 12] : [1, 2, 3, 4]).includes(at(l4))) return null;
      const quote = l4 + 8;
      const end = l4 + room;
      if (end - quote < (isV4 ? 20 : 40) || at(quote) >> 4 !== (isV4 ? 4 : 6)) return null;
      let quoted = { next: at(quote + 9), l4: quote + (at(quote) & 15) * 4 };
      if (isV4) {
        if (quoted.l4 - quote < 20 || (at16(quote + 6) & 0x1fff) !== 0) return null;
      } else {
        const how = walk(at(quote + 6), quote + 40, end, quote + 40 + 255);
        if (how === null || how.stopped === "refused") return null;
        quoted = how;
        if (how.stopped === "fragment") {
          if (at16(how.l4 + 2) >> 3 !== 0) return null;
          quoted = { next: at(how.l4), l4: how.l4 + 8 };
        }
      }
      if ((quoted.next !== TCP && quoted.next !== UDP) || end - quoted.l4 < 8) return null;
      const client = quote + (isV4 ? 12 : 8);
      for (let i = 0; i < addressBytes; i++) if (at(client + i) !== address[i]) return null;
      return answer(client + addressBytes, quoted.next, quoted.l4 + 2, quoted.l4);
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
