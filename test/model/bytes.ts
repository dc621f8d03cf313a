// Numbers out of bytes, and addresses out of text. Nothing here knows what a packet is.

/** A field in network order as the number it means: big-endian (RFC 791, appendix B). */
export function field(bytes: Uint8Array, at: number, length: number): number {
  let value = 0;
  for (let i = 0; i < length; i++) value = value * 256 + bytes[at + i]!;
  return value;
}

/** Writes a number as a field in network order. */
export function setField(bytes: Uint8Array, at: number, length: number, value: number): void {
  let rest = value;
  for (let i = length - 1; i >= 0; i--) {
    bytes[at + i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

/** A field "raw": its bytes read as a little-endian number, the way an x86 load sees them (docs/datapath.md). */
export function raw(bytes: Uint8Array, at = 0, length = bytes.length): bigint {
  let value = 0n;
  for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i]!);
  return value;
}

export function concat(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

export function toHex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function fromHex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** `02:00:00:00:00:21` as six bytes in wire order. */
export function macBytes(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) throw new Error(`not a MAC address: ${text}`);
  return Uint8Array.from(text.split(":"), (part) => Number.parseInt(part, 16));
}

/** Family of an address in text: 6 when it has a colon. */
export function familyOf(text: string): 4 | 6 {
  return text.includes(":") ? 6 : 4;
}

/** An IPv4 or IPv6 address in text as its 4 or 16 bytes in network order (RFC 4291 §2.2; no embedded IPv4). */
export function addressBytes(text: string): Uint8Array {
  return familyOf(text) === 4 ? ipv4Bytes(text) : ipv6Bytes(text);
}

function ipv4Bytes(text: string): Uint8Array {
  const parts = text.split(".").map(Number);
  if (parts.length !== 4 || parts.some((part) => !(Number.isInteger(part) && part >= 0 && part <= 255))) {
    throw new Error(`not an IPv4 address: ${text}`);
  }
  return Uint8Array.from(parts);
}

function ipv6Bytes(text: string): Uint8Array {
  const [before, after, more] = text.split("::");
  const groups = (half: string | undefined) => (half ? half.split(":") : []);
  const head = groups(before);
  const tail = groups(after);
  const zeros = 8 - head.length - tail.length;
  if (more !== undefined || zeros < 0 || (after === undefined && zeros !== 0)) {
    throw new Error(`not an IPv6 address: ${text}`);
  }
  const bytes = new Uint8Array(16);
  [...head, ...Array<string>(zeros).fill("0"), ...tail].forEach((group, i) => {
    if (!/^[0-9a-f]{1,4}$/i.test(group)) throw new Error(`not an IPv6 address: ${text}`);
    setField(bytes, i * 2, 2, Number.parseInt(group, 16));
  });
  return bytes;
}
