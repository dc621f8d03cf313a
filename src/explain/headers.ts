// Headers of a packet, field by field, to be shown. It reads as far as it can and never fails: what a packet is worth
// is the engine's to say.

import {
  ETHERNET,
  EXTENSION,
  EXTENSIONS,
  FRAGMENT,
  FRAGMENT_HEADER,
  GRE,
  hex,
  ICMP,
  ICMPV6,
  type IcmpKind,
  IPV4,
  IPV6,
  type Layout,
  named,
  number,
  TCP,
  UDP,
  VLAN,
} from "./layouts.ts";

/** A field of a header. */
export interface Field {
  name: string;
  /** From the start of the packet. */
  offset: number;
  bytes: number;
  value: string;
}

/** A header, or what stands in its place: `payload`, `padding`, or what is `cut off`. */
export interface Header {
  name: string;
  /** From the start of the packet. */
  offset: number;
  bytes: number;
  fields: Field[];
}

/** A packet on the way through decodeHeaders(). */
class Decoder {
  readonly headers: Header[] = [];
  readonly #packet: Uint8Array;
  /** UDP port behind which an IP packet follows. */
  readonly guePort: number | undefined;
  at = 0;
  /** In front of the names of headers: where they are. */
  #inside = "";
  /** Where the innermost IP packet ends by its own header, at most the packet's end. */
  end: number;

  constructor(packet: Uint8Array, guePort: number | undefined) {
    this.#packet = packet;
    this.guePort = guePort;
    this.end = packet.length;
  }

  /** Appends a header, if the packet holds it; of a quoted one all fields that are there. */
  take(name: string, layout: Layout): boolean {
    const size = layout.reduce((sum, [, bytes]) => sum + bytes, 0);
    const isWhole = this.at + size <= this.end;
    const header: Header = { name: this.#inside + name, offset: this.at, bytes: 0, fields: [] };
    for (const [field, bytes, show] of layout) {
      if ((!isWhole && this.#inside === "") || this.at + bytes > this.end) break;
      const value = show(this.#packet.subarray(this.at, this.at + bytes));
      header.fields.push({ name: field, offset: this.at, bytes, value });
      this.at += bytes;
      header.bytes += bytes;
    }
    if (header.bytes > 0) this.headers.push(header);
    if (!isWhole) this.#append("cut off", this.end);
    return isWhole;
  }

  /** Appends the bytes up to `to`, if there are any. */
  rest(name: string, to: number): void {
    this.#append(this.#inside + name, to);
  }

  #append(name: string, to: number): void {
    if (to > this.at) this.headers.push({ name, offset: this.at, bytes: to - this.at, fields: [] });
    this.at = Math.max(this.at, to);
  }

  /** Decodes the beginning of a packet that this one is about. What follows it (RFC 4884) is not its own. */
  quote(decode: () => void): void {
    const { end } = this;
    const inside = this.#inside;
    this.#inside = "quoted ";
    decode();
    this.rest("payload", this.end);
    this.#inside = inside;
    this.end = end;
  }

  /** The next byte, 0 at the end. */
  get ahead(): number {
    return this.at < this.end ? this.#packet[this.at]! : 0;
  }

  /** Number of `bytes` bytes, `back` bytes before where the decoder is. */
  behind(back: number, bytes: number): number {
    return this.#packet
      .subarray(this.at - back, this.at - back + bytes)
      .reduce((value, byte) => value * 256 + byte, 0);
  }
}

/**
 * The headers of a packet in order, then its payload and padding: together every byte of it.
 * @param guePort UDP port behind which an IP packet follows (GUE variant 1)
 */
export function decodeHeaders(packet: Uint8Array, guePort?: number): Header[] {
  const decoder = new Decoder(packet, guePort);
  if (decoder.take("Ethernet", ETHERNET)) {
    let type = decoder.behind(2, 2);
    while ((type === 0x8100 || type === 0x88a8) && decoder.take("VLAN", VLAN)) type = decoder.behind(2, 2);
    network(decoder, type);
  }
  decoder.rest("payload", decoder.end);
  decoder.rest("padding", packet.length);
  return decoder.headers;
}

function network(decoder: Decoder, type: number): void {
  const start = decoder.at;
  if (type === 0x0800 && decoder.take("IPv4", IPV4)) {
    const header = (decoder.behind(20, 1) & 15) * 4;
    decoder.end = Math.min(decoder.end, start + Math.max(decoder.behind(18, 2), header, 20));
    const fragment = decoder.behind(14, 2) & 0x1fff;
    const next = decoder.behind(11, 1);
    decoder.rest("options", Math.min(decoder.end, start + header));
    if (fragment === 0) transport(decoder, next);
  } else if (type === 0x86dd && decoder.take("IPv6", IPV6)) {
    decoder.end = Math.min(decoder.end, decoder.at + decoder.behind(36, 2));
    extensions(decoder, decoder.behind(34, 1));
  }
}

/** IPv6 extension headers and what follows them; behind the header of a later fragment there is none. */
function extensions(decoder: Decoder, first: number): void {
  let next = first;
  for (;;) {
    const start = decoder.at;
    if (next === FRAGMENT_HEADER) {
      if (!decoder.take("fragment", FRAGMENT)) return;
      if (decoder.behind(6, 2) >= 8) return;
      next = decoder.behind(8, 1);
      continue;
    }
    const name = EXTENSIONS[next];
    if (name === undefined) break;
    if (!decoder.take(name, EXTENSION)) return;
    next = decoder.behind(2, 1);
    decoder.rest("options", Math.min(decoder.end, start + 8 + decoder.behind(1, 1) * 8));
  }
  transport(decoder, next);
}

function transport(decoder: Decoder, next: number): void {
  const start = decoder.at;
  if (next === 6 && decoder.take("TCP", TCP)) {
    decoder.rest("options", Math.min(decoder.end, start + (decoder.behind(8, 1) >> 4) * 4));
  } else if (next === 17 && decoder.take("UDP", UDP)) {
    if (decoder.behind(6, 2) === decoder.guePort)
      network(decoder, decoder.ahead >> 4 === 4 ? 0x0800 : 0x86dd);
  } else if (next === 4 || next === 41) network(decoder, next === 4 ? 0x0800 : 0x86dd);
  else if (next === 1) icmp(decoder, "ICMP", ICMP);
  else if (next === 58) icmp(decoder, "ICMPv6", ICMPV6);
  else if (next === 47 && decoder.take("GRE", GRE)) network(decoder, decoder.behind(2, 2));
}

function icmp(decoder: Decoder, name: "ICMP" | "ICMPv6", kinds: Readonly<Record<number, IcmpKind>>): void {
  const kind: IcmpKind | undefined = kinds[decoder.ahead];
  const types = Object.fromEntries(Object.entries(kinds).map(([type, { name }]) => [type, name]));
  const isWhole = decoder.take(name, [
    ["type", 1, named(number, types)],
    ["code", 1, named(number, kind?.codes ?? {})],
    ["checksum", 2, hex],
    ...(kind?.rest ?? ([["rest", 4, hex]] as const)),
  ]);
  if (isWhole && kind?.quotes) decoder.quote(() => network(decoder, name === "ICMP" ? 0x0800 : 0x86dd));
}

const holds = (part: { offset: number; bytes: number }, offset: number) =>
  part.offset <= offset && offset < part.offset + part.bytes;

/** The field that a byte belongs to. */
export function fieldAt(headers: readonly Header[], offset: number): Field | undefined {
  return headers.flatMap(({ fields }) => fields).find((field) => holds(field, offset));
}

/** What to call the place of a byte: `Ethernet source`; the header's name where it has no fields. */
export function placeOf(headers: readonly Header[], offset: number): string {
  const header = headers.find((each) => holds(each, offset));
  const field = fieldAt(headers, offset);
  return [header?.name, field?.name].filter((name) => name !== undefined).join(" ");
}
