// Classic pcap, the file format of libpcap and tcpdump (draft-ietf-opsawg-pcap).
//
//   file header, 24 bytes                          record header, 16 bytes, then the packet
//   0        4     6     8       12    16   20     0         4          8          12
//   ├─ magic ┼ maj ┼ min ┼ zone ─┼ sig ┼ snap ┼ link ┤   ├ seconds ┼ fraction ┼ captured ┼ original ┤
//
// All numbers are in the byte order of the machine that wrote the file; the magic tells which, and whether
// fractions are micro- or nanoseconds.

import { GuidewayError } from "../errors.ts";

export const FILE_HEADER_BYTES = 24;
export const RECORD_HEADER_BYTES = 16;

export const FILE_MAGIC = 0;
export const FILE_MAJOR = 4;
export const FILE_MINOR = 6;
export const FILE_SNAPLEN = 16;
export const FILE_LINK_TYPE = 20;

export const RECORD_SECONDS = 0;
export const RECORD_FRACTION = 4;
export const RECORD_CAPTURED = 8;
export const RECORD_ORIGINAL = 12;

export const MAGIC_MICROSECONDS = 0xa1b2c3d4;
export const MAGIC_NANOSECONDS = 0xa1b23c4d;
export const VERSION_MAJOR = 2;
export const VERSION_MINOR = 4;
export const LINK_TYPE_ETHERNET = 1;
/** Most bytes of a packet: libpcap's MAXIMUM_SNAPLEN. A longer record is damage. */
export const MAX_PACKET_BYTES = 262_144;

/** What the file header says. */
export interface PcapHeader {
  /** Whether fractions of timestamps are nanoseconds; else microseconds. */
  nanoseconds: boolean;
  littleEndian: boolean;
  /** Most bytes that the capture kept of a packet; 0 for no limit. */
  snaplen: number;
}

/** A packet with its time, as in the file. */
export interface PcapPacket {
  /** What was captured of it. */
  bytes: Uint8Array;
  /** Bytes it had on the wire. */
  originalBytes: number;
  /** Since 1970. */
  seconds: number;
  /** Micro- or nanoseconds on top, by the file's magic. */
  fraction: number;
}

/** A capture that cannot be read. */
export class PcapError extends GuidewayError {
  /** As the user named it. */
  readonly file: string;
  /** Bytes from the start of the file; undefined when the file as a whole is meant. */
  readonly offset: number | undefined;

  /** @param message what is wrong and what was expected */
  constructor(file: string, offset: number | undefined, message: string, cause?: unknown) {
    const place = offset === undefined ? file : `${file}: byte ${offset}`;
    super("PCAP", `${place}: ${message}`, cause === undefined ? {} : { cause });
    this.name = "PcapError";
    this.file = file;
    this.offset = offset;
  }
}

/** The header of a new file: little-endian, Ethernet, packets of any length. */
export function encodePcapHeader(nanoseconds: boolean): Uint8Array {
  const header = new Uint8Array(FILE_HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(FILE_MAGIC, nanoseconds ? MAGIC_NANOSECONDS : MAGIC_MICROSECONDS, true);
  view.setUint16(FILE_MAJOR, VERSION_MAJOR, true);
  view.setUint16(FILE_MINOR, VERSION_MINOR, true);
  view.setUint32(FILE_SNAPLEN, MAX_PACKET_BYTES, true);
  view.setUint32(FILE_LINK_TYPE, LINK_TYPE_ETHERNET, true);
  return header;
}

/** Records of packets, one behind the other. Fractions are of the unit that the file's header has. */
export function encodePcapRecords(packets: readonly PcapPacket[]): Uint8Array {
  const total = packets.reduce((sum, { bytes }) => sum + RECORD_HEADER_BYTES + bytes.length, 0);
  const records = new Uint8Array(total);
  const view = new DataView(records.buffer);
  let at = 0;
  for (const { bytes, originalBytes, seconds, fraction } of packets) {
    view.setUint32(at + RECORD_SECONDS, seconds, true);
    view.setUint32(at + RECORD_FRACTION, fraction, true);
    view.setUint32(at + RECORD_CAPTURED, bytes.length, true);
    view.setUint32(at + RECORD_ORIGINAL, originalBytes, true);
    records.set(bytes, at + RECORD_HEADER_BYTES);
    at += RECORD_HEADER_BYTES + bytes.length;
  }
  return records;
}
