// How a packet names its flow when it does not begin with its ports: it quotes another packet, or is a part of a datagram.

import type { Header } from "./headers.ts";

/** The packet that an ICMP message quotes, as far as it is there. */
export interface Quote {
  /** tcp, udp or another protocol's number. */
  protocol: string;
  source: string;
  destination: string;
  /** Null where the quote does not reach them. */
  sourcePort: number | null;
  destinationPort: number | null;
}

/** The place of a fragment in its datagram. */
export interface Fragment {
  identification: string;
  /** In bytes. */
  offset: number;
  /** Whether others follow. */
  more: boolean;
}

function fieldValue(headers: readonly Header[], header: string, field: string): string | undefined {
  return headers.find(({ name }) => name === header)?.fields.find(({ name }) => name === field)?.value;
}

/** What a packet quotes; null when it does not. */
export function quoteOf(headers: readonly Header[]): Quote | null {
  const ip = ["quoted IPv4", "quoted IPv6"].find((each) => fieldValue(headers, each, "destination"));
  if (ip === undefined) return null;
  const layer4 = ["TCP", "UDP"].find((each) => headers.some(({ name }) => name === `quoted ${each}`));
  const port = (field: string) => {
    const value = fieldValue(headers, `quoted ${layer4}`, field);
    return value === undefined ? null : Number(value);
  };
  const next = fieldValue(headers, ip, ip === "quoted IPv4" ? "protocol" : "next header")!;
  return {
    protocol: layer4?.toLowerCase() ?? next,
    source: fieldValue(headers, ip, "source")!,
    destination: fieldValue(headers, ip, "destination")!,
    sourcePort: port("source port"),
    destinationPort: port("destination port"),
  };
}

/** The place of a packet in a datagram; null for one that is whole. */
export function fragmentOf(headers: readonly Header[]): Fragment | null {
  const header = headers.find(({ name }) => name === "fragment") ? "fragment" : "IPv4";
  const place = fieldValue(headers, header, "fragment");
  const identification = fieldValue(headers, header, "identification");
  if (place === undefined || identification === undefined) return null;
  const offset = Number(/offset (\d+)/.exec(place)![1]);
  const more = place.includes("more fragments");
  return offset > 0 || more ? { identification, offset, more } : null;
}
