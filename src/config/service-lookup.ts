// Which service a destination belongs to (docs/datapath.md §1), for those who have to choose a destination. Packets are looked
// up elsewhere, by assembly/services.ts.

import { addressBytes, addressFamily } from "./address.ts";
import { breadth, containsPort, type Ports, samplePort, samplePorts } from "./ports.ts";
import { maskedBytes, parsePrefix, sampleAddress, sampleAddresses } from "./prefix.ts";
import type { Config, VipConfig } from "./schema.ts";
import { expandServices, isAddressService, PROTOCOL_TCP, PROTOCOL_UDP, type Service } from "./services.ts";

/** One address and port. */
export interface Destination {
  address: string;
  port: number;
}

/** Addresses, and ports, that are tried where others have the first ones. */
const TRIES = 16;

function keyOf(family: 4 | 6, bytes: Uint8Array, length: number): string {
  return `${family} ${length} ${Buffer.from(maskedBytes(bytes, length)).toString("hex")}`;
}

export class ServiceLookup {
  /** Services with ports, by prefix. */
  readonly #byPrefix: Map<string, Service[]>;
  /** Lengths that occur, longest first. */
  readonly #lengths: readonly number[];

  constructor(services: readonly Service[]) {
    const prefixes = services
      .filter((service) => !isAddressService(service))
      .map((service) => ({ service, prefix: parsePrefix(service.address) }));
    const byPrefix = Map.groupBy(prefixes, ({ prefix }) => keyOf(prefix.family, prefix.bytes, prefix.length));
    this.#byPrefix = new Map([...byPrefix].map(([key, all]) => [key, all.map(({ service }) => service)]));
    this.#lengths = [...new Set(prefixes.map(({ prefix }) => prefix.length))].sort((a, b) => b - a);
  }

  find(address: string, protocol: number, port: number): Service | undefined {
    const bytes = addressBytes(address);
    for (const length of this.#lengths) {
      const [found] = (this.#byPrefix.get(keyOf(addressFamily(address), bytes, length)) ?? [])
        .filter((each) => each.protocol === protocol && containsPort(each.port, port))
        .sort((a, b) => breadth(a.port) - breadth(b.port));
      if (found) return found;
    }
    return undefined;
  }

  /** A destination that a service with ports has; undefined when more specific ones have all that were tried. */
  destinationOf(service: Service): Destination | undefined {
    const { address, protocol, port } = service;
    for (const each of candidates(address, port))
      if (this.find(each.address, protocol, each.port) === service) return each;
    return undefined;
  }
}

/** Chooses destinations for packets that must be a VIP's. */
export class Destinations {
  readonly #vips: Config["vips"];
  #lookup: ServiceLookup | undefined;

  constructor({ vips }: Pick<Config, "vips">) {
    this.#vips = vips;
  }

  /** An address of a VIP that has this protocol and port; the usual choice where others have all that were tried. */
  addressOf(vip: VipConfig, protocol: "tcp" | "udp", port: number): string {
    const usual = sampleAddress(vip.address);
    if (!vip.address.includes("/")) return usual;
    this.#lookup ??= new ServiceLookup(expandServices({ vips: this.#vips }));
    const lookup = this.#lookup;
    const number = protocol === "tcp" ? PROTOCOL_TCP : PROTOCOL_UDP;
    const own = [usual, ...sampleAddresses(vip.address, TRIES)].find((address) => {
      const found = lookup.find(address, number, port);
      return found !== undefined && this.#vips[found.vipIndex] === vip;
    });
    return own ?? usual;
  }
}

/** First the usual choice, then others spread over all. */
function* candidates(address: string, ports: Ports): Generator<Destination> {
  yield { address: sampleAddress(address), port: samplePort(ports) };
  for (const each of new Set(sampleAddresses(address, TRIES)))
    for (const port of new Set(samplePorts(ports, TRIES))) yield { address: each, port };
}
