// What a capture contains, read plainly: flows, fragments, retransmissions, quotes. It knows nothing of services or backends, and
// shares nothing with the engine or the model.

/** A frame, by what it is about. */
export interface Dissected {
  /** Of TCP, UDP and their fragments, the first of which must come first: `tcp 10.0.1.2:40000 > 10.99.0.1:80`. */
  flow?: string;
  /** Names the datagram that it is a fragment of. */
  datagram?: string;
  /** A fragment other than the first of its datagram. */
  later: boolean;
  tcp?: { sequence: number; bytes: number; syn: boolean; fin: boolean; rst: boolean; options: number[] };
  /** Ports and what follows, of the datagram's beginning. */
  udp?: Uint8Array;
  icmp?: {
    family: 4 | 6;
    type: number;
    code: number;
    /** The flow of the packet that an error quotes, as its client's packets have it. */
    about?: string;
  };
  /** Segments of this flow with the same place in it came before. */
  again: boolean;
}

interface Ip {
  family: 4 | 6;
  source: string;
  destination: string;
  protocol: number;
  body: Buffer;
  fragment?: { identification: number; offset: number; more: boolean };
}

const TCP = 6;
const UDP = 17;

/** Dissects frames in the order in which they were captured. */
export function dissectAll(frames: readonly Uint8Array[]): Dissected[] {
  const flows = new Map<string, string>();
  const segments = new Set<string>();
  return frames.map((frame) => {
    const bytes = Buffer.from(frame);
    const type = bytes.readUInt16BE(12);
    const ip =
      type === 0x0800 ? ipv4(bytes.subarray(14)) : type === 0x86dd ? ipv6(bytes.subarray(14)) : undefined;
    const result: Dissected = { later: false, again: false };
    if (!ip) return result;
    if (ip.fragment) {
      const { source, destination, protocol, fragment } = ip;
      result.datagram = `${source} ${destination} ${protocol} ${fragment.identification}`;
      result.later = fragment.offset > 0;
    }
    if (result.later) {
      const flow = flows.get(result.datagram!);
      return flow === undefined ? result : { ...result, flow };
    }
    Object.assign(result, layer4(ip));
    if (result.datagram !== undefined && result.flow !== undefined) flows.set(result.datagram, result.flow);
    if (result.tcp && (result.tcp.bytes > 0 || result.tcp.syn || result.tcp.fin)) {
      const segment = `${result.flow} ${result.tcp.sequence}`;
      result.again = segments.has(segment);
      segments.add(segment);
    }
    return result;
  });
}

function layer4(ip: Ip): Partial<Dissected> {
  const { protocol, body, family } = ip;
  const flow = `${protocol === TCP ? "tcp" : "udp"} ${ends(ip)}`;
  if (protocol === TCP) {
    const header = (body[12]! >> 4) * 4;
    const flags = body[13]!;
    return {
      flow,
      tcp: {
        sequence: body.readUInt32BE(4),
        bytes: body.length - header,
        syn: (flags & 2) !== 0,
        fin: (flags & 1) !== 0,
        rst: (flags & 4) !== 0,
        options: optionKinds(body.subarray(20, header)),
      },
    };
  }
  if (protocol === UDP) return { flow, udp: body };
  if (protocol !== (family === 4 ? 1 : 58)) return {};
  const [type, code] = [body[0]!, body[1]!];
  const isError = family === 4 ? [3, 11, 12].includes(type) : type < 128;
  const about = isError ? quotedFlow(family, body.subarray(8)) : undefined;
  return { icmp: { family, type, code, ...(about !== undefined && { about }) } };
}

/** The flow of a packet that went the other way: from the VIP to the client. */
function quotedFlow(family: 4 | 6, quote: Buffer): string | undefined {
  const ip = family === 4 ? ipv4(quote) : ipv6(quote);
  if (ip.protocol !== TCP && ip.protocol !== UDP) return undefined;
  const [server, client] = ends(ip).split(" > ");
  return `${ip.protocol === TCP ? "tcp" : "udp"} ${client} > ${server}`;
}

function ends({ source, destination, body }: Ip): string {
  return `${source}:${body.readUInt16BE(0)} > ${destination}:${body.readUInt16BE(2)}`;
}

function ipv4(bytes: Buffer): Ip {
  const place = bytes.readUInt16BE(6);
  const offset = (place & 0x1fff) * 8;
  const more = (place & 0x2000) !== 0;
  const address = (at: number) => [...bytes.subarray(at, at + 4)].join(".");
  return {
    family: 4,
    source: address(12),
    destination: address(16),
    protocol: bytes[9]!,
    body: bytes.subarray((bytes[0]! & 15) * 4, bytes.readUInt16BE(2)),
    ...((offset > 0 || more) && { fragment: { identification: bytes.readUInt16BE(4), offset, more } }),
  };
}

/** Of extension headers the lab's hosts send only those of fragments, and options to multicast groups. */
function ipv6(bytes: Buffer): Ip {
  const address = (at: number) => ipv6Text(bytes.subarray(at, at + 16));
  const ip: Ip = {
    family: 6,
    source: address(8),
    destination: address(24),
    protocol: bytes[6]!,
    body: bytes.subarray(40, 40 + bytes.readUInt16BE(4)),
  };
  if (ip.protocol !== 44) return ip;
  const place = ip.body.readUInt16BE(2);
  return {
    ...ip,
    protocol: ip.body[0]!,
    fragment: { identification: ip.body.readUInt32BE(4), offset: place & 0xfff8, more: (place & 1) !== 0 },
    body: ip.body.subarray(8),
  };
}

/** As RFC 5952 writes it: the longest run of zero groups, the first of equals, is `::`. */
function ipv6Text(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16)).join(":");
  const runs = groups.match(/\b0(:0)+\b/g) ?? [];
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), "");
  if (longest === "") return groups;
  const at = groups.indexOf(longest);
  return `${groups.slice(0, at).replace(/:$/, "")}::${groups.slice(at + longest.length).replace(/^:/, "")}`;
}

/** Kinds of TCP options, without padding (RFC 9293 §3.1). */
function optionKinds(bytes: Buffer): number[] {
  const kinds: number[] = [];
  for (let at = 0; at < bytes.length && bytes[at] !== 0; ) {
    const kind = bytes[at]!;
    if (kind !== 1) kinds.push(kind);
    at += kind === 1 ? 1 : Math.max(2, bytes[at + 1] ?? 0);
  }
  return kinds;
}
