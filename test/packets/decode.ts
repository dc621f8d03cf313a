// A packet as lines of text, for readable differences in failing tests. Reads as far as it can.

import { field, toHex } from "../model/bytes.ts";

const EXTENSIONS = [0, 43, 60, 135, 139, 140];

/** One line per header, then the rest in hex. */
export function decode(packet: Uint8Array): string[] {
  if (packet.length < 14) return [`short ${toHex(packet)}`];
  const type = field(packet, 12, 2);
  const line = `ethernet ${mac(packet, 6)} > ${mac(packet, 0)} type ${hex(type)} bytes ${packet.length}`;
  return [line, ...network(type, packet.subarray(14))];
}

function network(type: number, bytes: Uint8Array): string[] {
  if ((type === 0x8100 || type === 0x88a8) && bytes.length >= 4) {
    const tag = field(bytes, 0, 2);
    const inner = field(bytes, 2, 2);
    return [
      `vlan ${tag & 0xfff} pcp ${tag >> 13} dei ${(tag >> 12) & 1} type ${hex(inner)}`,
      ...network(inner, bytes.subarray(4)),
    ];
  }
  if (type === 0x0800 && bytes.length >= 20) return ipv4(bytes);
  if (type === 0x86dd && bytes.length >= 40) return ipv6(bytes);
  return rest("data", bytes);
}

function ipv4(bytes: Uint8Array): string[] {
  const headerLength = (bytes[0]! & 15) * 4;
  const total = field(bytes, 2, 2);
  const fragment = field(bytes, 6, 2);
  const source = [...bytes.subarray(12, 16)].join(".");
  const destination = [...bytes.subarray(16, 20)].join(".");
  const line =
    `ipv4 ${source} > ${destination} version ${bytes[0]! >> 4} header ${headerLength} tos ${hex(bytes[1]!)} ` +
    `length ${total} id ${field(bytes, 4, 2)} flags ${fragment >> 13} offset ${fragment & 0x1fff} ` +
    `ttl ${bytes[8]} protocol ${bytes[9]} checksum ${hex(field(bytes, 10, 2))}`;
  return [
    line,
    ...rest("options", bytes.subarray(20, Math.max(20, headerLength))),
    ...transport(bytes[9]!, bytes.subarray(Math.max(20, headerLength), total)),
    ...rest("padding", bytes.subarray(total)),
  ];
}

function ipv6(bytes: Uint8Array): string[] {
  const end = 40 + field(bytes, 4, 2);
  const first = field(bytes, 0, 4);
  const groups = (at: number) => toHex(bytes.subarray(at, at + 16)).replace(/....(?=.)/g, "$&:");
  const line =
    `ipv6 ${groups(8)} > ${groups(24)} version ${bytes[0]! >> 4} class ${hex((first >>> 20) & 0xff)} ` +
    `label ${hex(first & 0xfffff)} payload ${end - 40} next ${bytes[6]} hops ${bytes[7]}`;
  return [line, ...transport(bytes[6]!, bytes.subarray(40, end)), ...rest("padding", bytes.subarray(end))];
}

function transport(protocol: number, bytes: Uint8Array): string[] {
  const ports = () => `${field(bytes, 0, 2)} > ${field(bytes, 2, 2)}`;
  if (protocol === 6 && bytes.length >= 20) {
    const headerLength = (bytes[12]! >> 4) * 4;
    const line =
      `tcp ${ports()} seq ${field(bytes, 4, 4)} ack ${field(bytes, 8, 4)} header ${headerLength} ` +
      `flags ${flagLetters(bytes[13]!)} window ${field(bytes, 14, 2)} checksum ${hex(field(bytes, 16, 2))}`;
    return [line, ...rest("data", bytes.subarray(20))];
  }
  if (protocol === 17 && bytes.length >= 8) {
    const line = `udp ${ports()} length ${field(bytes, 4, 2)} checksum ${hex(field(bytes, 6, 2))}`;
    if (field(bytes, 2, 2) === 6080)
      return [line, ...network(bytes[8]! >> 4 === 4 ? 0x0800 : 0x86dd, bytes.subarray(8))];
    return [line, ...rest("data", bytes.subarray(8))];
  }
  if ((protocol === 1 || protocol === 58) && bytes.length >= 8) {
    const line = `icmp type ${bytes[0]} code ${bytes[1]} checksum ${hex(field(bytes, 2, 2))}`;
    return [line, ...rest("data", bytes.subarray(4))];
  }
  if (protocol === 47 && bytes.length >= 4) {
    const type = field(bytes, 2, 2);
    return [`gre flags ${hex(field(bytes, 0, 2))} type ${hex(type)}`, ...network(type, bytes.subarray(4))];
  }
  if (protocol === 4) return network(0x0800, bytes);
  if (protocol === 41) return network(0x86dd, bytes);
  if (protocol === 44 && bytes.length >= 8) {
    const place = field(bytes, 2, 2);
    const line = `fragment next ${bytes[0]} offset ${place >> 3} more ${place & 1} id ${field(bytes, 4, 4)}`;
    return [line, ...rest("data", bytes.subarray(8))];
  }
  if (EXTENSIONS.includes(protocol) && bytes.length >= 8) {
    const length = 8 + bytes[1]! * 8;
    const line = `extension ${protocol} next ${bytes[0]} bytes ${length}`;
    return [line, ...transport(bytes[0]!, bytes.subarray(length))];
  }
  return rest("data", bytes);
}

function flagLetters(flags: number): string {
  return [..."FSRPAUEW"].filter((_, bit) => flags & (1 << bit)).join("") || "none";
}

const hex = (value: number) => `0x${value.toString(16)}`;
const mac = (bytes: Uint8Array, at: number) => toHex(bytes.subarray(at, at + 6)).replace(/..(?=.)/g, "$&:");
const rest = (name: string, bytes: Uint8Array) => (bytes.length ? [`${name} ${toHex(bytes)}`] : []);
