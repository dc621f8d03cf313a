// The packets of a generator: one template per kind, and the few words in which a flow differs from it.
//
//   flow number = host + HOSTS × port      host: the low bits of the source address
//                                          port: the source port less FIRST_PORT
//
// Sources are of the ranges reserved for benchmarks: 198.18.0.0/15 (RFC 2544) and 2001:2::/48 (RFC 5180).
// Headers and checksums are valid. Every word that changes lies on an even offset.

import { addressBytes, addressFamily } from "../config/address.ts";

/** Source addresses. */
export const HOSTS = 1 << 17;
const FIRST_PORT = 1024;
/** Flows that can be told apart. */
export const MAX_FLOWS = HOSTS * (65536 - FIRST_PORT);

const ETHERNET_BYTES = 14;
const UDP_BYTES = 8;
const TCP_BYTES = 20;
const PROTOCOLS = { tcp: 6, udp: 17 } as const;
const SOURCE_MAC = [0x02, 0x67, 0x65, 0x6e, 0x00, 0x01];
const BASE_V4 = [198, 18, 0, 0];
const BASE_V6 = [0x20, 0x01, 0x00, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const SYN = 0x02;
const ACK = 0x10;

/** A service of a VIP. */
export interface Service {
  address: string;
  protocol: "tcp" | "udp";
  port: number;
}

/** Bytes of the smallest packet to a service, without FCS. */
export function smallestPacket({ address, protocol }: Service): number {
  const ip = addressFamily(address) === 4 ? 20 : 40;
  return ETHERNET_BYTES + ip + (protocol === "tcp" ? TCP_BYTES : UDP_BYTES);
}

/** Sum of big-endian 16-bit words, as an Internet checksum adds them up (RFC 1071). */
function sum(bytes: Uint8Array): number {
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  return total;
}

/** The checksum of a sum: folded to 16 bits and complemented. */
function complement(total: number): number {
  const folded = (total & 0xffff) + (total >>> 16);
  return ~((folded & 0xffff) + (folded >>> 16)) & 0xffff;
}

function swap(word: number): number {
  return ((word & 0xff) << 8) | (word >>> 8);
}

export class FlowTemplate {
  readonly service: Service;
  readonly bytes: Uint8Array;
  /** The same, in words, padded. */
  readonly #words: Uint32Array;
  /** Offsets in 16-bit words: of the low half of the source address, the port, TCP's flags, the checksums (0: none). */
  readonly #source: number;
  readonly #port: number;
  readonly #flags: number;
  readonly #ipChecksum: number;
  readonly #checksum: number;
  /** Sums of everything that stays: of the IPv4 header, of pseudo header and layer 4. */
  readonly #ipSum: number;
  readonly #sum: number;
  readonly #sourceHigh: number;
  readonly #flagsHigh: number;

  /**
   * @param destinationMac six bytes
   * @param packetBytes without FCS; at least smallestPacket()
   */
  constructor(service: Service, destinationMac: Uint8Array, packetBytes: number) {
    this.service = service;
    const v4 = addressFamily(service.address) === 4;
    const tcp = service.protocol === "tcp";
    const protocol = PROTOCOLS[service.protocol];
    const l3 = ETHERNET_BYTES;
    const l4 = l3 + (v4 ? 20 : 40);
    const l4Bytes = packetBytes - l4;
    const words = new Uint32Array(Math.ceil(packetBytes / 4));
    const bytes = new Uint8Array(words.buffer);
    const view = new DataView(words.buffer);
    bytes.set([...destinationMac, ...SOURCE_MAC]);
    if (v4) {
      view.setUint16(12, 0x0800);
      bytes.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0, ...BASE_V4], l3);
      view.setUint16(l3 + 2, packetBytes - l3);
    } else {
      view.setUint16(12, 0x86dd);
      bytes.set([0x60, 0, 0, 0, 0, 0, protocol, 64, ...BASE_V6], l3);
      view.setUint16(l3 + 4, l4Bytes);
    }
    bytes.set(addressBytes(service.address), l4 - (v4 ? 4 : 16));
    view.setUint16(l4 + 2, service.port);
    if (tcp) bytes.set([5 << 4, 0, 0xff, 0xff], l4 + 12);
    else view.setUint16(l4 + 4, l4Bytes);
    this.#ipSum = sum(bytes.subarray(l3, l3 + 20));
    const addresses = bytes.subarray(l4 - (v4 ? 8 : 32), l4);
    this.#sum = sum(addresses) + protocol + l4Bytes + sum(bytes.subarray(l4));
    this.#source = (v4 ? l3 + 12 : l4 - 20) / 2;
    this.#sourceHigh = view.getUint16(this.#source * 2);
    this.#port = l4 / 2;
    this.#flags = tcp ? (l4 + 12) / 2 : 0;
    this.#flagsHigh = tcp ? view.getUint16(l4 + 12) : 0;
    this.#ipChecksum = v4 ? (l3 + 10) / 2 : 0;
    this.#checksum = (l4 + (tcp ? 16 : 6)) / 2;
    this.#words = words;
    this.bytes = bytes.subarray(0, packetBytes);
  }

  /**
   * Writes the packet of a flow.
   * @param u32 and @param u16 views of the same memory
   * @param at address of its first byte, a multiple of 4
   * @param opens whether it is the flow's first: TCP then sends SYN, else ACK
   */
  write(u32: Uint32Array, u16: Uint16Array, at: number, flow: number, opens: boolean): void {
    const words = this.#words;
    for (let i = 0; i < words.length; i++) u32[at / 4 + i] = words[i]!;
    const host = flow & (HOSTS - 1);
    const port = FIRST_PORT + (flow - host) / HOSTS;
    const flags = this.#flags === 0 ? 0 : opens ? SYN : ACK;
    const changed = (host >>> 16) + (host & 0xffff) + port;
    const word = at / 2;
    u16[word + this.#source] = swap(this.#sourceHigh + (host >>> 16));
    u16[word + this.#source + 1] = swap(host & 0xffff);
    u16[word + this.#port] = swap(port);
    if (this.#flags !== 0) u16[word + this.#flags] = swap(this.#flagsHigh + flags);
    if (this.#ipChecksum !== 0) {
      u16[word + this.#ipChecksum] = swap(complement(this.#ipSum + changed - port));
    }
    // UDP sends the sum 0 as its complement, because 0 means none (RFC 768).
    u16[word + this.#checksum] = swap(complement(this.#sum + changed + flags) || 0xffff);
  }

  /** The flow of a packet that `write` has written. */
  flowOf(packet: Uint8Array): number {
    const word = (at: number) => (packet[2 * at]! << 8) | packet[2 * at + 1]!;
    const host = ((word(this.#source) - this.#sourceHigh) << 16) | word(this.#source + 1);
    return host + HOSTS * (word(this.#port) - FIRST_PORT);
  }
}
