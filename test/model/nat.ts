// docs/datapath.md §11: `forward: nat`. Where answers come from, and what a packet becomes in either direction.

import { addressBytes, field, setField, toHex } from "./bytes.ts";
import { checksum, updated } from "./checksum.ts";
import type { Ip } from "./parse.ts";
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
            this.#byPlace.set(place, { service: numberOf(vip, protocol, port), port, backend });
          }
        }
      }
    }
  }

  /** What a packet that is for no service answers, or undefined. */
  find({ source, destination, protocol }: Ip, sourcePort: number): Origin | undefined {
    if (this.#own.has(toHex(destination))) return undefined;
    return this.#byPlace.get(`${toHex(source)}/${protocol}/${sourcePort}`);
  }
}

/** What is put in place of one end of a packet. */
export interface NewEnd {
  end: "source" | "destination";
  address: string;
  /** Undefined: as it is. */
  port: number | undefined;
}

/** The packet with another end, or why there is none. @param isLater it is a fragment without the header of layer 4 */
export function translated(
  packet: Uint8Array,
  ip: Ip,
  { end, address, port }: NewEnd,
  isLater = false,
): Uint8Array | "ttl-expired" | "bad-checksum" {
  const out = packet.slice();
  const { l3, l4, family, protocol } = ip;
  const header = out.subarray(l3, l4);
  const ttlAt = family === 4 ? 8 : 7;
  if (header[ttlAt]! <= 1) return "ttl-expired";
  if (family === 4 && checksum(header) !== 0) return "bad-checksum";

  const bytes = addressBytes(address);
  const addressAt = l3 + (family === 4 ? 12 : 8) + (end === "source" ? 0 : bytes.length);
  const portAt = l4 + (end === "source" ? 0 : 2);
  const sumAt = l4 + (protocol === TCP ? 16 : 6);
  // The words that the checksum of layer 4 covers and that change.
  const words = [portAt, ...Array.from({ length: bytes.length / 2 }, (_, i) => addressAt + 2 * i)];
  const before = words.map((at) => field(packet, at, 2));
  out.set(bytes, addressAt);
  header[ttlAt]!--;
  if (family === 4) {
    setField(header, 10, 2, 0);
    setField(header, 10, 2, checksum(header));
  }
  if (isLater) return out;
  if (port !== undefined) setField(out, portAt, 2, port);
  const sum = field(packet, sumAt, 2);
  if (protocol === UDP && sum === 0) return out;
  const now = words.reduce((sum, at, i) => updated(sum, before[i]!, field(out, at, 2)), sum);
  setField(out, sumAt, 2, protocol === UDP && now === 0 ? 0xffff : now);
  return out;
}
