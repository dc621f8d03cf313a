// Services and their numbers: docs/datapath.md §1. A service is one (address, protocol, port) of a VIP.

import { addressBytes, familyOf, toHex } from "./bytes.ts";
import type { VipSetup } from "./setup.ts";

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const ICMPV6 = 58;

export interface Service {
  number: number;
  vip: VipSetup;
}

export class Services {
  readonly #byAddress = new Map<string, Service>();
  #last = 0;

  /** Numbers from 1: per VIP its address service unless the address has one, then tcp before udp, ports in order. */
  constructor(vips: VipSetup[]) {
    for (const vip of vips) {
      const address = addressBytes(vip.address);
      this.#add(vip, address, familyOf(vip.address) === 4 ? ICMP : ICMPV6, 0);
      for (const protocol of ["tcp", "udp"] as const) {
        if (!vip.protocols.includes(protocol)) continue;
        for (const port of vip.ports) this.#add(vip, address, protocol === "tcp" ? TCP : UDP, port);
      }
    }
  }

  #add(vip: VipSetup, address: Uint8Array, protocol: number, port: number): void {
    const key = `${toHex(address)}/${protocol}/${port}`;
    if (this.#byAddress.has(key)) return;
    this.#last++;
    this.#byAddress.set(key, { number: this.#last, vip });
  }

  find(address: Uint8Array, protocol: number, port: number): Service | undefined {
    return this.#byAddress.get(`${toHex(address)}/${protocol}/${port}`);
  }

  /** The address service of a destination: what ICMP and the address rule ask for. */
  ofAddress(address: Uint8Array): Service | undefined {
    return this.find(address, address.length === 4 ? ICMP : ICMPV6, 0);
  }
}
