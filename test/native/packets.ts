// Packets for the XDP program: built from a description, wrong wherever the description says so.

export const TCP = 6;
export const UDP = 17;
export const ICMP = 1;
export const ICMPV6 = 58;
export const IPV4 = 0x0800;
export const IPV6 = 0x86dd;
export const VLAN = 0x8100;
export const SERVICE_VLAN = 0x88a8;

export interface Packet {
  /** EtherTypes of the VLAN tags, outer first. */
  vlans?: number[];
  /** Addresses of 4 or 16 bytes; their length chooses the family. */
  source: number[];
  destination: number[];
  protocol: number;
  sourcePort?: number;
  destinationPort?: number;
  /** Bytes of IPv4 options, a multiple of 4. */
  options?: number;
  /** The IPv4 fragment field: flags and offset. */
  fragment?: number;
  /** IPv6 extension headers in front of layer 4: their numbers, and as many bytes for each as it says itself. */
  extensions?: { type: number; bytes: number[] }[];
  /** Bytes after the layer-4 header. */
  payload?: number;
  /** What stands behind the first 8 bytes of an ICMP or ICMPv6 message, and its type; an echo request without. */
  message?: { type: number; quote: number[] };
}

const bytes16 = (value: number): number[] => [(value >> 8) & 255, value & 255];

/** Destination of all packets here. */
export const DESTINATION_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
/** Their source. */
export const SOURCE_MAC = Uint8Array.of(2, 0, 0, 0, 0, 2);

/** The packet's bytes, MAC addresses `02:…:02` to `02:…:01`. Checksums are 0: nobody here looks at them. */
export function build(packet: Packet): Uint8Array {
  const ethernet = [...DESTINATION_MAC, ...SOURCE_MAC];
  for (const tag of packet.vlans ?? []) ethernet.push(...bytes16(tag), 0, 7);
  ethernet.push(...bytes16(packet.destination.length === 16 ? IPV6 : IPV4));
  return Uint8Array.from([...ethernet, ...network(packet)]);
}

/** The packet from its IP header on, such as an ICMP error quotes it. */
export function network(packet: Packet): number[] {
  const layer4 = transport(packet);
  const isV6 = packet.destination.length === 16;
  return [...(isV6 ? ipv6(packet, layer4.length) : ipv4(packet, layer4.length)), ...layer4];
}

function transport(packet: Packet): number[] {
  const { protocol, sourcePort = 0, destinationPort = 0, payload = 0, message } = packet;
  if (message) return [message.type, 0, 0, 0, 0, 0, 0, 0, ...message.quote];
  const data = Array.from({ length: payload }, (_, index) => index & 255);
  const ports = [...bytes16(sourcePort), ...bytes16(destinationPort)];
  if (protocol === TCP) return [...ports, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0, ...data];
  if (protocol === UDP) return [...ports, ...bytes16(8 + payload), 0, 0, ...data];
  if (protocol === ICMP) return [8, 0, 0, 0, ...ports, ...data];
  if (protocol === ICMPV6) return [128, 0, 0, 0, ...ports, ...data];
  return [protocol, 0, 0, 0, 0, 0, 0, 0, ...data];
}

function ipv4({ source, destination, protocol, options = 0, fragment = 0 }: Packet, room: number): number[] {
  const header = 20 + options;
  return [
    ...[0x40 | (header / 4), 0, ...bytes16(header + room), 0, 0, ...bytes16(fragment)],
    ...[64, protocol, 0, 0, ...source, ...destination],
    ...Array.from({ length: options }, () => 1),
  ];
}

function ipv6({ source, destination, protocol, extensions = [] }: Packet, room: number): number[] {
  const numbers = [...extensions.map(({ type }) => type), protocol];
  const headers = extensions.flatMap(({ bytes }, index) => [numbers[index + 1]!, ...bytes.slice(1)]);
  return [
    ...[0x60, 0, 0, 0, ...bytes16(headers.length + room), numbers[0]!, 64, ...source, ...destination],
    ...headers,
  ];
}
