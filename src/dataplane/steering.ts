// What is in the services block besides services, so that answers of backends find their way back (SERVICE_RETURN,
// SERVICE_SENDER and SERVICE_OWN of layout.ts), and what the XDP program is told of it.

import * as L from "../../assembly/layout.ts";
import { expandReturns } from "../config/returns.ts";
import type { BackendConfig, Config } from "../config/schema.ts";
import { type Service, serviceKey } from "../config/services.ts";

/** A slot that is no service. */
export interface Slot {
  /** 20 bytes. */
  key: Uint8Array;
  /** SERVICE_NUMBER and SERVICE_VIP. */
  number: number;
  vip: number;
  /** SERVICE_VIP_PORT and SERVICE_BACKEND. */
  vipPort: number;
  backend: number;
  /** What the XDP program's map says for the key. */
  value: number;
}

/**
 * The slots of a configuration: none without `nat`.
 * @param services those of expandServices, with the numbers that are in force
 * @param idOf a backend of a pool
 * @param own slots of addresses of the machine
 */
export function slotsOf(
  config: Pick<Config, "vips" | "pools">,
  services: readonly Service[],
  idOf: (pool: string, backend: BackendConfig) => number,
  own: readonly Slot[],
): Slot[] {
  const returns = expandReturns(config).map((each): Slot => {
    const { service, index, pool, backend } = each;
    const { number } = services[index]!;
    const key = serviceKey(each, L.SERVICE_RETURN);
    const { vipIndex: vip, port } = service;
    return { key, number, vip, vipPort: Number(port), backend: idOf(pool, backend), value: number };
  });
  return returns.length === 0 ? [] : [...returns, ...senders(config), ...own];
}

/** Where fragments of answers come from, each once. */
function senders(config: Pick<Config, "vips" | "pools">): Slot[] {
  const names = new Set<string>();
  return expandReturns(config).flatMap(({ address, protocol }): Slot[] => {
    const name = `${address} ${protocol}`;
    if (names.has(name)) return [];
    names.add(name);
    const key = serviceKey({ address, protocol, port: 0 }, L.SERVICE_SENDER);
    return [{ key, number: 0, vip: 0, vipPort: 0, backend: 0, value: 1 }];
  });
}

/** Source ports of checks through the data plane. */
export interface ProbeRange {
  firstPort: number;
  ports: number;
}

/** An address of this machine: what backends send there is the host's, but for answers to checks through the data plane. */
export function ownSlot(address: string, { firstPort, ports }: ProbeRange): Slot {
  const key = serviceKey({ address, protocol: 0, port: 0 }, L.SERVICE_OWN);
  const value = (firstPort | (ports << 16)) >>> 0;
  return { key, number: firstPort, vip: ports, vipPort: 0, backend: 0, value };
}

/** What tells slots apart, for the XDP program. */
export function slotName({ key, value }: Slot): string {
  return `${Buffer.from(key).toString("hex")} ${value}`;
}
