// Random packets, the same for the same seed.
import { build, ICMP, ICMPV6, network, type Packet, SERVICE_VLAN, TCP, UDP, VLAN } from "./packets.ts";
import {
  BACKEND_PORT,
  BACKENDS_V4,
  BACKENDS_V6,
  OWN_V4,
  OWN_V6,
  PORTS,
  PROBE_PORTS,
  VIPS_V4,
  VIPS_V6,
} from "./services.ts";

/** Numbers below `limit`, by xorshift32. */
export function generator(seed: number): (limit: number) => number {
  let state = seed >>> 0 || 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

/** A packet that is mostly for a VIP and mostly well-formed: one in eight is cut short, one in eight has a byte changed. */
export function randomPacket(below: (limit: number) => number): Uint8Array {
  const oneIn = (n: number): boolean => below(n) === 0;
  const pick = <T>(values: readonly T[]): T => values[below(values.length)]!;
  const v6 = oneIn(2);
  const address = (): number[] => Array.from({ length: v6 ? 16 : 4 }, () => below(256));
  const extension = [0, 43, 44, 51, 60, 135, 139, 140];
  /** Mostly harmless: no segments left, and the only fragment of its datagram. */
  const header = (): { type: number; bytes: number[] } => {
    const type = pick(extension);
    const units = type === 44 ? 0 : below(oneIn(8) ? 32 : 3);
    const fragment = oneIn(4) ? below(256) : 0;
    const bytes = [0, oneIn(16) ? below(256) : units, type === 44 && oneIn(4) ? below(256) : 0, fragment];
    return { type, bytes: [...bytes, ...new Array<number>(units * 8 + 4).fill(0)] };
  };
  const answers = oneIn(4);
  const packet: Packet = {
    vlans: oneIn(2) ? [] : Array.from({ length: below(4) }, () => pick([VLAN, SERVICE_VLAN])),
    source: address(),
    destination: oneIn(8) ? address() : pick(v6 ? VIPS_V6 : VIPS_V4),
    protocol: oneIn(8) ? pick([ICMP, ICMPV6, 47, 50, 132, ...extension]) : pick([TCP, UDP]),
    sourcePort: below(65536),
    destinationPort: oneIn(8) ? below(65536) : pick(PORTS),
    options: oneIn(4) ? 4 * below(11) : 0,
    fragment: oneIn(8) ? pick([0x2000, 0x4000, 0x8000, below(0x2000)]) : 0x4000,
    extensions: oneIn(3) ? Array.from({ length: below(oneIn(4) ? 11 : 4) }, () => header()) : [],
    payload: below(64),
    ...(answers && answerOf()),
  };
  /** A packet of a backend to a client or to the machine. */
  function answerOf(): Pick<Packet, "source" | "destination" | "sourcePort" | "destinationPort"> {
    return {
      source: pick(v6 ? BACKENDS_V6 : BACKENDS_V4),
      destination: oneIn(4) ? (v6 ? OWN_V6 : OWN_V4) : address(),
      sourcePort: oneIn(8) ? below(65536) : BACKEND_PORT,
      destinationPort: oneIn(2) ? below(65536) : PROBE_PORTS.first - 50 + below(200),
    };
  }
  if (oneIn(8)) quoteSomething();
  /** Makes it an ICMP error, mostly about a client's packet to a backend. */
  function quoteSomething(): void {
    packet.protocol = oneIn(16) ? pick([ICMP, ICMPV6]) : v6 ? ICMPV6 : ICMP;
    packet.destination = oneIn(4) ? (v6 ? OWN_V6 : OWN_V4) : address();
    const quoted: Packet = {
      source: oneIn(8) ? address() : packet.destination,
      destination: oneIn(8) ? address() : pick(v6 ? BACKENDS_V6 : BACKENDS_V4),
      protocol: oneIn(8) ? pick([ICMP, 47, 132]) : pick([TCP, UDP]),
      sourcePort: oneIn(2) ? below(65536) : PROBE_PORTS.first - 50 + below(200),
      destinationPort: oneIn(8) ? below(65536) : BACKEND_PORT,
      options: oneIn(4) ? 4 * below(11) : 0,
      fragment: oneIn(8) ? pick([0x2000, below(0x2000)]) : 0x4000,
      extensions: oneIn(3) ? Array.from({ length: below(oneIn(4) ? 11 : 4) }, () => header()) : [],
      payload: below(64),
    };
    const quote = network(quoted);
    if (oneIn(16)) quote[below(quote.length)] = below(256);
    const type = oneIn(8) ? below(256) : pick(v6 ? [1, 2, 3, 4] : [3, 11, 12]);
    packet.message = { type, quote: oneIn(4) ? quote.slice(0, below(quote.length + 1)) : quote };
  }
  const bytes = build(packet);
  if (oneIn(8)) bytes[below(bytes.length)] = below(256);
  return oneIn(8) ? bytes.slice(0, Math.max(14, below(bytes.length + 1))) : bytes;
}
