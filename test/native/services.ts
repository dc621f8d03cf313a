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
/** What answers for the first port of the first VIP of each family, from a port of its own. */
export const BACKENDS_V4 = [
  [10, 0, 0, 31],
  [10, 0, 0, 32],
];
export const BACKENDS_V6 = [
  [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x31],
  [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x32],
];
export const BACKEND_PORT = 8080;
/** Addresses of the machine, with the ports of its own at which answers are not the host's. */
export const OWN_V4 = [10, 0, 0, 11];
export const OWN_V6 = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11];
export const PROBE_PORTS = { first: 20_000, count: 100 };

/** Digits of π, as in docs/datapath.md, section 6. */
export const SECRET = [0x243f6a8885a308d3n, 0x13198a2e03707344n, 0xa4093822299f31d0n, 0x082efa98ec4e6c89n];

/**
 * Gives a program the secret and, for every VIP, an address service and each port over TCP and UDP; then the places that
 * backends answer from, and the machine's own addresses.
 */
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
  const enter = (key: Uint8Array, number: number) => {
    addService(services, key, number);
    program.setService(key, number);
  };
  for (const [vip, backends] of [
    [VIPS_V4[0]!, BACKENDS_V4],
    [VIPS_V6[0]!, BACKENDS_V6],
  ] as const) {
    for (const protocol of [TCP, UDP]) {
      const number = services.get(Buffer.from(serviceKey(vip, protocol, PORTS[0]!)).toString("hex"))!;
      for (const each of backends) {
        enter(serviceKey(each, protocol, BACKEND_PORT, "return"), number);
        enter(serviceKey(each, protocol, 0, "sender"), 1);
      }
    }
  }
  const range = PROBE_PORTS.first | (PROBE_PORTS.count << 16);
  for (const own of [OWN_V4, OWN_V6]) enter(serviceKey(own, 0, 0, "own"), range);
  return exactly(services);
}
