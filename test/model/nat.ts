// docs/datapath.md §11: `forward: nat`. Where answers come from, and what a packet becomes in either direction.

import { addressBytes, field, setField, toHex } from "./bytes.ts";
import { checksum, updated } from "./checksum.ts";
import type { Ip, Quoted } from "./parse.ts";
import { eachPort, type Service, TCP, UDP } from "./services.ts";
import type { BackendSetup, PoolSetup, VipSetup } from "./setup.ts";

/** The service that a backend answers for from one of its ports. */
export interface Origin {
  service: Service;
  /** The VIP's. */
  port: number;
  backend: BackendSetup;
}

/** All places that answers come from, by address, protocol and port. */
export class Origins {
  readonly #byPlace = new Map<string, Origin>();
  readonly #own: Set<string>;
  /** Address and protocol. */
  readonly #senders = new Set<string>();

  /** @param own addresses of the machine: nothing that goes there is for a client */
  constructor(
    vips: VipSetup[],
    pools: PoolSetup[],
    own: string[],
    numberOf: (vip: VipSetup, protocol: number, port: number) => Service,
  ) {
    this.#own = new Set(own.map((address) => toHex(addressBytes(address))));
    for (const vip of vips) {
      if (vip.forward !== "nat") continue;
      const backends = pools.find(({ name }) => name === vip.pool)?.backends ?? [];
      for (const protocol of vip.protocols.map((name) => (name === "tcp" ? TCP : UDP))) {
        for (const port of vip.ports.flatMap(eachPort)) {
          for (const backend of backends) {
            const place = `${toHex(addressBytes(backend.address))}/${protocol}/${backend.port ?? port}`;
            this.#senders.add(`${toHex(addressBytes(backend.address))}/${protocol}`);
            this.#byPlace.set(place, { service: numberOf(vip, protocol, port), port, backend });
          }
        }
      }
    }
  }

  /** What a packet that is for no service answers, or undefined. */
  find({ source, destination, protocol }: Ip, sourcePort: number): Origin | undefined {
    return this.#isOwn(destination) ? undefined : this.#at(source, protocol, sourcePort);
  }

  /** Whether a fragment that is for no VIP may be of an answer. */
  sends({ source, destination, protocol }: Ip): boolean {
    return this.#senders.has(`${toHex(source)}/${protocol}`) && !this.#isOwn(destination);
  }

  /** Where a client's packet went that an ICMP error is about, or undefined. */
  findQuoted(message: Ip, quoted: Quoted, destinationPort: number): Origin | undefined {
    const isOfClient = toHex(quoted.source) === toHex(message.destination);
    if (!isOfClient || this.#isOwn(message.destination)) return undefined;
    return this.#at(quoted.destination, quoted.protocol, destinationPort);
  }

  #isOwn(address: Uint8Array): boolean {
    return this.#own.has(toHex(address));
  }

  #at(address: Uint8Array, protocol: number, port: number): Origin | undefined {
    return this.#byPlace.get(`${toHex(address)}/${protocol}/${port}`);
  }
}

/** What is put in place of one end of a packet. */
export interface NewEnd {
  end: "source" | "destination";
  address: string;
  /** Undefined: as it is. */
  port: number | undefined;
}

/** Why a packet is not translated. */
type Obstacle = "ttl-expired" | "bad-checksum";

/** A packet that is being changed, word by word. */
class Change {
  readonly before: Uint8Array;
  readonly out: Uint8Array;

  constructor(packet: Uint8Array) {
    this.before = packet;
    this.out = packet.slice();
  }

  /** Puts an address into an IP header. @returns where its words are */
  address(l3: number, { end, address }: NewEnd): number[] {
    const bytes = addressBytes(address);
    const at = l3 + (bytes.length === 4 ? 12 : 8) + (end === "source" ? 0 : bytes.length);
    this.out.set(bytes, at);
    return Array.from({ length: bytes.length / 2 }, (_, i) => at + 2 * i);
  }

  /** Puts a port into a header of TCP or UDP. @returns where it is */
  port(l4: number, { end, port }: NewEnd): number {
    const at = l4 + (end === "source" ? 0 : 2);
    if (port !== undefined) setField(this.out, at, 2, port);
    return at;
  }

  /** Corrects the checksum at `sumAt` for the words that it covers, one by one. @returns where it is */
  correct(sumAt: number, words: number[], zero = 0): number {
    const sum = words.reduce(
      (sum, at) => updated(sum, field(this.before, at, 2), field(this.out, at, 2)),
      field(this.before, sumAt, 2),
    );
    setField(this.out, sumAt, 2, sum || zero);
    return sumAt;
  }

  /** The same for a checksum of TCP or UDP. @returns where it is, if it is there */
  correctLayer4(l4: number, protocol: number, words: number[]): number[] {
    const at = l4 + (protocol === TCP ? 16 : 6);
    if (protocol === UDP && field(this.before, at, 2) === 0) return [];
    return [this.correct(at, words, protocol === UDP ? 0xffff : 0)];
  }

  /** What a router does with the IP header, which has got a new address. */
  forward({ l3, l4, family }: Ip): Obstacle | undefined {
    const header = this.out.subarray(l3, l4);
    const ttlAt = family === 4 ? 8 : 7;
    if (header[ttlAt]! <= 1) return "ttl-expired";
    if (family === 4 && checksum(this.before.subarray(l3, l4)) !== 0) return "bad-checksum";
    header[ttlAt]!--;
    if (family === 4) {
      setField(header, 10, 2, 0);
      setField(header, 10, 2, checksum(header));
    }
    return undefined;
  }
}

/** The packet with another end, or why there is none. @param isLater it is a fragment without the header of layer 4 */
export function translated(packet: Uint8Array, ip: Ip, to: NewEnd, isLater = false): Uint8Array | Obstacle {
  const change = new Change(packet);
  const words = change.address(ip.l3, to);
  const obstacle = change.forward(ip);
  if (obstacle) return obstacle;
  if (isLater) return change.out;
  words.push(change.port(ip.l4, to));
  change.correctLayer4(ip.l4, ip.protocol, words);
  return change.out;
}

/** An ICMP error with one end of it changed, and in the packet that it quotes the other. */
export function translatedError(
  packet: Uint8Array,
  ip: Ip,
  quoted: Quoted,
  to: NewEnd,
): Uint8Array | Obstacle {
  const change = new Change(packet);
  const outer = change.address(ip.l3, to);
  const obstacle = change.forward(ip);
  if (obstacle) return obstacle;
  const inner: NewEnd = { ...to, end: to.end === "source" ? "destination" : "source" };
  const address = change.address(quoted.l3, inner);
  // RFC 792 covers the message, RFC 4443 §2.3 the addresses in front of it, too.
  const covered = ip.family === 4 ? [...address] : [...outer, ...address];
  if (ip.family === 4) covered.push(change.correct(quoted.l3 + 10, address));
  const port = change.port(quoted.l4, inner);
  covered.push(port);
  const isThere = quoted.protocol === UDP || quoted.l4 + 18 <= ip.l4 + ip.l4Length;
  if (isThere) covered.push(...change.correctLayer4(quoted.l4, quoted.protocol, [...address, port]));
  change.correct(ip.l4 + 2, covered);
  return change.out;
}

/** What a backend sends to a client, or says about one of its packets, as it leaves. */
export function translatedBack(
  packet: Uint8Array,
  answer: { ip: Ip; origin: Origin; quoted?: Quoted; isLater?: boolean },
): Uint8Array | Obstacle {
  const { ip, origin, quoted, isLater } = answer;
  const to: NewEnd = { end: "source", address: origin.service.vip.address, port: origin.port };
  return quoted ? translatedError(packet, ip, quoted, to) : translated(packet, ip, to, isLater);
}
