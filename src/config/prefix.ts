// Prefixes of IP addresses: CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3) in, canonical text out.

import { addressBytes, addressFamily, canonicalAddress } from "./address.ts";

export interface Prefix {
  family: 4 | 6;
  /** In network order, 4 or 16 bytes; those bits beyond the length are zero. */
  bytes: Uint8Array;
  /** In bits. */
  length: number;
}

/** Bits of an address. */
export function addressBits(family: 4 | 6): number {
  return family === 4 ? 32 : 128;
}

/** An address with the bits beyond a length set to zero. */
export function maskedBytes(bytes: Uint8Array, length: number): Uint8Array {
  return bytes.map((byte, i) => byte & (0xff << Math.min(8, Math.max(0, 8 * (i + 1) - length))));
}

/** A parsed prefix whose address may have bits beyond its length; undefined for what is neither an address nor a prefix. */
function split(text: string): { address: string; length: number } | undefined {
  const [before = "", after, ...more] = text.split("/");
  const address = canonicalAddress(before);
  if (address === undefined || more.length > 0) return undefined;
  const most = addressBits(addressFamily(address));
  if (after === undefined) return { address, length: most };
  const length = /^(0|[1-9]\d{0,2})$/.test(after) ? Number(after) : Number.NaN;
  return length <= most ? { address, length } : undefined;
}

/**
 * Canonical text of a prefix, or of an address, which is the prefix of its full length and is written without one.
 * Undefined for anything else. Bits of the address beyond the length become zero.
 */
export function canonicalPrefix(text: string): string | undefined {
  const parts = split(text);
  if (!parts) return undefined;
  const { address, length } = parts;
  if (length === addressBits(addressFamily(address))) return address;
  return `${addressText(maskedBytes(addressBytes(address), length))}/${length}`;
}

/** Canonical text of 4 or 16 bytes. */
function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Buffer.from(bytes).toString("hex").match(/..../g)!;
  return canonicalAddress(groups.join(":"))!;
}

/** Whether an address, as the text says it, has bits beyond the prefix's length. */
export function hasHostBits(text: string): boolean {
  const parts = split(text);
  if (!parts) return false;
  const bytes = addressBytes(parts.address);
  return Buffer.compare(bytes, maskedBytes(bytes, parts.length)) !== 0;
}

/** @param text canonical */
export function parsePrefix(text: string): Prefix {
  const { address, length } = split(text)!;
  const family = addressFamily(address);
  return { family, bytes: maskedBytes(addressBytes(address), length), length };
}

/**
 * One address out of a prefix, where one has to be chosen: the second, since the first one of a subnet has a meaning of its own
 * (the network of IPv4; the routers of IPv6, RFC 4291 §2.6.1). Of one or two addresses the first. @param text canonical
 */
export function sampleAddress(text: string): string {
  const { family, bytes, length } = parsePrefix(text);
  if (length >= addressBits(family) - 1) return text.split("/")[0]!;
  const second = Uint8Array.from(bytes);
  second[second.length - 1]! |= 1;
  return addressText(second);
}

/** Addresses spread evenly over a prefix, the last one among them; the same one several times where there are few. */
export function sampleAddresses(text: string, count: number): string[] {
  if (count === 1) return [sampleAddress(text)];
  const { bytes, family, length } = parsePrefix(text);
  const network = BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
  const last = (1n << BigInt(addressBits(family) - length)) - 1n;
  return Array.from({ length: count }, (_, i) => {
    const address = network + (last * BigInt(i)) / BigInt(count - 1);
    return addressText(Buffer.from(address.toString(16).padStart(bytes.length * 2, "0"), "hex"));
  });
}

/** Whether every address of `inner` is one of `outer`. */
export function containsPrefix(outer: Prefix, inner: Prefix): boolean {
  return (
    outer.family === inner.family &&
    outer.length <= inner.length &&
    Buffer.compare(maskedBytes(inner.bytes, outer.length), outer.bytes) === 0
  );
}
