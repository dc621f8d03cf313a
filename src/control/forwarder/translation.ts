// A packet for a backend behind `forward: nat`, as docs/datapath.md §11 has it, by something that is not the workers'.

import { addressBytes } from "../../config/address.ts";
import type { BackendConfig } from "../../config/schema.ts";

const TCP = 6;
const UDP = 17;

/**
 * An IP packet with the backend's address and port instead of the VIP's, a TTL less by one, and checksums computed from scratch.
 * @param packet of TCP or UDP, without options or extension headers
 * @returns undefined when it is larger than the MTU, or of the other IP version
 */
export function toBackend(
  packet: Uint8Array,
  { address, port }: Pick<BackendConfig, "address" | "port">,
  mtu: number,
): Uint8Array | undefined {
  const destination = addressBytes(address);
  const v4 = packet[0]! >> 4 === 4;
  if (packet.length > mtu || v4 !== (destination.length === 4)) return undefined;
  const bytes = packet.slice();
  const view = new DataView(bytes.buffer);
  const l4 = v4 ? 20 : 40;
  const protocol = bytes[v4 ? 9 : 6]!;
  bytes[v4 ? 8 : 7]!--;
  bytes.set(destination, l4 - destination.length);
  if (v4) {
    view.setUint16(10, 0);
    view.setUint16(10, checksum(bytes.subarray(0, l4)));
  }
  if (port !== undefined) view.setUint16(l4 + 2, port);
  const sumAt = l4 + (protocol === TCP ? 16 : 6);
  view.setUint16(sumAt, 0);
  // The pseudo header (RFC 9293 §3.1, RFC 8200 §8.1): both addresses, which are in front of layer 4, protocol and length.
  const sum = checksum(bytes.subarray(l4 - 2 * destination.length), protocol + bytes.length - l4);
  view.setUint16(sumAt, sum === 0 && protocol === UDP ? 0xffff : sum);
  return bytes;
}

/** RFC 1071. @param more what else is added up */
function checksum(bytes: Uint8Array, more = 0): number {
  let sum = bytes.reduce((sum, byte, i) => sum + (i % 2 === 0 ? byte << 8 : byte), more);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
