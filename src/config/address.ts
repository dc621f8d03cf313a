import { isIPv4, isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";

/**
 * The canonical text of an IP address: dotted decimal for IPv4, RFC 5952 for IPv6. Undefined for anything
 * else, zones (`%eth0`), prefixes and the short or octal forms of inet_aton included.
 */
export function canonicalAddress(text: string): string | undefined {
  if (isIPv4(text)) return text;
  return isIPv6(text) && !text.includes("%") ? ipaddr.parse(text).toString() : undefined;
}

/** 4 or 6, of an address that is one. */
export function addressFamily(address: string): 4 | 6 {
  return address.includes(":") ? 6 : 4;
}

/** The 4 or 16 bytes of an address, in network order. */
export function addressBytes(address: string): Uint8Array {
  return Uint8Array.from(ipaddr.parse(address).toByteArray());
}

/**
 * Why packets cannot be sent to this address as to one machine, or undefined when they can. The words fit after
 * "… is".
 */
export function notUnicast(address: string): string | undefined {
  const bytes = addressBytes(address);
  if (bytes.length === 4) {
    const first = bytes[0]!;
    if (address === "0.0.0.0") return "the unspecified address";
    if (first === 0) return 'in 0.0.0.0/8, "this network" (RFC 1122)';
    if (first === 127) return "a loopback address";
    if (first >= 224 && first < 240) return "a multicast address";
    if (address === "255.255.255.255") return "the broadcast address";
    return undefined;
  }
  if (bytes[0] === 0xff) return "a multicast address";
  if (address === "::") return "the unspecified address";
  if (address === "::1") return "a loopback address";
  if (bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff)
    return "an IPv4-mapped address";
  return undefined;
}

/** `address:port`, `[v6 address]:port`, or the bare address without a port. */
export function endpoint(address: string, port?: number): string {
  if (port === undefined) return address;
  return addressFamily(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}
