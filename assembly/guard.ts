// A VIP's guard (docs/datapath.md §8): which sources it takes packets from, and how many a second.

import { rateKey } from "./hash";
import { GUARD_ALLOW } from "./layout";
import { findPrefix, maskOf } from "./prefix-map";
import { mayPass } from "./rates";
import { REASON_DENIED, REASON_RATE_LIMITED } from "./reasons";
import { Packet, Vip } from "./records";
import { services } from "./services";
import * as ipv4 from "./wire/ipv4";
import * as ipv6 from "./wire/ipv6";

/** Drops a packet that the guard does not let through. @returns whether it did */
export function refuse(packet: Packet, vip: Vip): bool {
  const ip: usize = packet.start + packet.l3;
  const isV4 = packet.family == 4;
  const source0: u64 = isV4 ? ipv4.source(ip) : ipv6.source0(ip);
  const source1: u64 = isV4 ? 0 : ipv6.source1(ip);
  const guard: usize = vip.guard;
  if (guard != 0 && findPrefix(services + guard, packet.family, source0, source1) != GUARD_ALLOW) {
    packet.reason = <u8>REASON_DENIED;
    return true;
  }
  const interval = vip.rateInterval;
  if (interval == 0) return false;
  const length = vip.ratePrefix;
  const masked1 = length > 64 ? source1 & maskOf(length - 64) : 0;
  if (mayPass(rateKey(source0 & maskOf(length), masked1, vip.index), interval)) return false;
  packet.reason = <u8>REASON_RATE_LIMITED;
  return true;
}
