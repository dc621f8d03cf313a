import {
  SERVICE_ADDRESS,
  SERVICE_FAMILY,
  SERVICE_NUMBER,
  SERVICE_PORT,
  SERVICE_PROTOCOL,
} from "../../assembly/layout.ts";
import { addressFamily } from "./address.ts";
import { breadth, containsPort, isSinglePort, type Ports, singlePorts } from "./ports.ts";
import { addressBits, parsePrefix } from "./prefix.ts";
import type { Config, VipConfig } from "./schema.ts";

/** IP protocol numbers (IANA). */
export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_ICMPV6 = 58;

/** One (address or prefix, protocol, ports) that packets are looked up by. */
export interface Service {
  /** From 1, in the order of docs/datapath.md §1; part of the flow key. Wildcards of a prefix and protocol share one. */
  number: number;
  /** Canonical text of an address or a prefix. */
  address: string;
  family: 4 | 6;
  /** IP protocol number: 6 or 17, or 1 or 58 for the service of the address itself. */
  protocol: number;
  /** 0 for the service of the address itself. */
  port: Ports;
  /** Index into Config.vips. */
  vipIndex: number;
}

type Key = Pick<Service, "address" | "protocol" | "port">;

const PROTOCOLS: Record<VipConfig["protocol"], number[]> = {
  tcp: [PROTOCOL_TCP],
  udp: [PROTOCOL_UDP],
  any: [PROTOCOL_TCP, PROTOCOL_UDP],
};

/** Whether it is the service of an address or prefix itself: ping and all that has no ports. */
export function isAddressService({ protocol }: Pick<Service, "protocol">): boolean {
  return protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6;
}

/** Whether it has more than one address or port, so that it is not found by a packet's own. */
export function isWildcard(service: Key): boolean {
  return service.address.includes("/") || !(isAddressService(service) || isSinglePort(service.port));
}

/**
 * The services of a configuration, numbered by docs/datapath.md §1: for each VIP in order, the service of its address
 * unless an earlier VIP has that, then each protocol (tcp before udp) for its ports in order.
 */
export function expandServices(config: Pick<Config, "vips">): Service[] {
  const services: Service[] = [];
  const numbers = new Map<string, number>();
  const addresses = new Set<string>();
  for (const [vipIndex, { address, protocol, port: ports, forward }] of config.vips.entries()) {
    const family = addressFamily(address);
    const add = (protocol: number, port: Ports) => {
      const name = numberName({ address, protocol, port });
      const number = numbers.get(name) ?? numbers.size + 1;
      numbers.set(name, number);
      services.push({ number, address, family, protocol, port, vipIndex });
    };
    if (!addresses.has(address)) add(family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6, 0);
    addresses.add(address);
    // Answers of `nat` name their service, so that each of its ports is one.
    const all = forward === "nat" ? ports.flatMap(singlePorts) : ports;
    for (const each of PROTOCOLS[protocol]) for (const port of all) add(each, port);
  }
  return services;
}

/** What makes two services the same one, whatever their numbers. */
export function serviceName({ address, protocol, port }: Key): string {
  return `${address} ${protocol} ${port}`;
}

/**
 * What has one number. Wildcards of a prefix and protocol have the same: their flow keys tell address and port, and a flow
 * keeps its key when the bounds of a range change.
 */
export function numberName(service: Key): string {
  if (isAddressService(service) || !isWildcard(service)) return serviceName(service);
  return `${service.address} ${service.protocol} *`;
}

/** The service with a number that has a packet's destination port: of several the narrowest. */
export function serviceOfPort<S extends Service>(
  services: readonly S[],
  number: number,
  port: number,
): S | undefined {
  return services
    .filter((each) => each.number === number && (isAddressService(each) || containsPort(each.port, port)))
    .sort((a, b) => breadth(a.port) - breadth(b.port))[0];
}

/**
 * The key that a service of one address and port is found by: the bytes of its SERVICE_* record up to its number, 20 of
 * them.
 * @param kind SERVICE_RETURN, SERVICE_SENDER or SERVICE_OWN for what is no service
 */
export function serviceKey(
  service: { address: string; protocol: number; port: number },
  kind = 0,
): Uint8Array {
  const key = new Uint8Array(SERVICE_NUMBER);
  const { bytes, family, length } = parsePrefix(service.address);
  if (length !== addressBits(family)) throw new RangeError(`${service.address} is not one address`);
  key.set(bytes, SERVICE_ADDRESS);
  key[SERVICE_PORT] = service.port >>> 8;
  key[SERVICE_PORT + 1] = service.port & 0xff;
  key[SERVICE_PROTOCOL] = service.protocol;
  key[SERVICE_FAMILY] = family + kind;
  return key;
}
