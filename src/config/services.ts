import {
  SERVICE_ADDRESS,
  SERVICE_FAMILY,
  SERVICE_NUMBER,
  SERVICE_PORT,
  SERVICE_PROTOCOL,
} from "../../assembly/layout.ts";
import { addressBytes, addressFamily } from "./address.ts";
import type { Config, VipConfig } from "./schema.ts";

/** IP protocol numbers (IANA). */
export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_ICMPV6 = 58;

/** One (address, protocol, port) that packets are looked up by. */
export interface Service {
  /** From 1, in the order of docs/datapath.md §1; part of the flow key. */
  number: number;
  /** Canonical text. */
  address: string;
  family: 4 | 6;
  /** IP protocol number: 6 or 17, or 1 or 58 for the service of the address itself. */
  protocol: number;
  /** 0 for the service of the address itself. */
  port: number;
  /** Index into Config.vips. */
  vipIndex: number;
}

const PROTOCOLS: Record<VipConfig["protocol"], number[]> = {
  tcp: [PROTOCOL_TCP],
  udp: [PROTOCOL_UDP],
  any: [PROTOCOL_TCP, PROTOCOL_UDP],
};

/**
 * The services of a configuration, numbered by docs/datapath.md §1: for each VIP in order, the service of its address
 * unless an earlier VIP has that, then each protocol (tcp before udp) for each port in order.
 */
export function expandServices(config: Pick<Config, "vips">): Service[] {
  const services: Service[] = [];
  const addresses = new Set<string>();
  for (const [vipIndex, { address, protocol, port: ports }] of config.vips.entries()) {
    const family = addressFamily(address);
    const add = (protocol: number, port: number) =>
      services.push({ number: services.length + 1, address, family, protocol, port, vipIndex });
    if (!addresses.has(address)) add(family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6, 0);
    addresses.add(address);
    for (const each of PROTOCOLS[protocol]) for (const port of ports) add(each, port);
  }
  return services;
}

/** What makes two services the same one, whatever their numbers. */
export function serviceName({ address, protocol, port }: Service): string {
  return `${address} ${protocol} ${port}`;
}

/** The key that a service is found by: the bytes of its SERVICE_* record up to its number, 20 of them. */
export function serviceKey(service: Pick<Service, "address" | "protocol" | "port">): Uint8Array {
  const key = new Uint8Array(SERVICE_NUMBER);
  const address = addressBytes(service.address);
  key.set(address, SERVICE_ADDRESS);
  key[SERVICE_PORT] = service.port >>> 8;
  key[SERVICE_PORT + 1] = service.port & 0xff;
  key[SERVICE_PROTOCOL] = service.protocol;
  key[SERVICE_FAMILY] = address.length === 4 ? 4 : 6;
  return key;
}
