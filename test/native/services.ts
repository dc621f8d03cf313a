// The services and the secret that the tests of the XDP program share.
import type { XdpProgram } from "../../build/native.d.ts";
import { addService, exactly, type Find, type Services, serviceKey } from "./filter-model.ts";
import { ICMP, ICMPV6, TCP, UDP } from "./packets.ts";

export const VIPS_V4 = [
  [10, 99, 0, 1],
  [10, 99, 0, 2],
];
export const VIPS_V6 = [
  [0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
  [0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
];
export const PORTS = [80, 443, 53];

/** Digits of π, as in docs/datapath.md, section 6. */
export const SECRET = [0x243f6a8885a308d3n, 0x13198a2e03707344n, 0xa4093822299f31d0n, 0x082efa98ec4e6c89n];

/** Gives a program the secret and, for every VIP, an address service and each port over TCP and UDP. */
export function install(program: XdpProgram): Find {
  program.setSecret(new Uint8Array(BigUint64Array.from(SECRET).buffer));
  const services: Services = new Map();
  for (const address of [...VIPS_V4, ...VIPS_V6]) {
    const keys = [serviceKey(address, address.length === 4 ? ICMP : ICMPV6, 0)];
    for (const protocol of [TCP, UDP]) {
      for (const port of PORTS) keys.push(serviceKey(address, protocol, port));
    }
    for (const key of keys) {
      const number = services.size + 1;
      addService(services, key, number);
      program.setService(key, number);
    }
  }
  return exactly(services);
}
