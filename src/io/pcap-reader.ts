// Reading a capture as a stream: memory stays at a few chunks, whatever the size of the file.

import { createReadStream, statSync } from "node:fs";
import {
  FILE_HEADER_BYTES,
  FILE_LINK_TYPE,
  FILE_MAGIC,
  FILE_MAJOR,
  FILE_MINOR,
  FILE_SNAPLEN,
  LINK_TYPE_ETHERNET,
  MAGIC_MICROSECONDS,
  MAGIC_NANOSECONDS,
  MAX_PACKET_BYTES,
  PcapError,
  type PcapHeader,
  type PcapPacket,
  RECORD_CAPTURED,
  RECORD_FRACTION,
  RECORD_HEADER_BYTES,
  RECORD_ORIGINAL,
  RECORD_SECONDS,
  VERSION_MAJOR,
  VERSION_MINOR,
} from "./pcap.ts";

const CHUNK_BYTES = 1 << 20;
/** The link type's low 26 bits; above them the file says whether frames carry their FCS. */
const LINK_TYPE_MASK = 0x03ffffff;
const FCS_PRESENT = 0x04000000;

/** Other things that captures begin with, first bytes in hex. */
const OTHER_FORMATS: readonly [start: string, what: string, cure: string][] = [
  ["0a0d0d0a", "is pcapng", "convert it with `editcap -F pcap IN OUT`"],
  ["1f8b", "is compressed with gzip", "unpack it with `gunzip`"],
  ["28b52ffd", "is compressed with zstd", "unpack it with `unzstd`"],
  ["fd377a58", "is compressed with xz", "unpack it with `unxz`"],
  ["a1b2cd34", 'is "modified" pcap', "convert it with `editcap -F pcap IN OUT`"],
  ["34cdb2a1", 'is "modified" pcap', "convert it with `editcap -F pcap IN OUT`"],
];

const CLASSIC = "expected a classic pcap file";

/** A pcap that is being read. Open one with openPcap(). */
export class PcapReader {
  readonly header: PcapHeader;
  /** Bytes of the file; undefined where that is not known (standard input). */
  readonly totalBytes: number | undefined;
  readonly #file: string;
  readonly #chunks: AsyncIterator<Uint8Array>;
  /** Read but not parsed yet, and its offset in the file. */
  #rest: Uint8Array;
  #offset = FILE_HEADER_BYTES;
  #packets = 0;

  constructor(
    file: string,
    header: PcapHeader,
    rest: Uint8Array,
    chunks: AsyncIterator<Uint8Array>,
    totalBytes?: number,
  ) {
    this.#file = file;
    this.header = header;
    this.#rest = rest;
    this.#chunks = chunks;
    this.totalBytes = totalBytes;
  }

  /** Bytes of the file that are behind. */
  get offset(): number {
    return this.#offset;
  }

  /**
   * The packets in the order of the file, in batches of one chunk's. Their bytes are views of the chunk.
   * @throws PcapError for a record that cannot be, and when the file ends inside one
   */
  async *batches(): AsyncGenerator<PcapPacket[], void, void> {
    for (;;) {
      const batch = this.#parse();
      if (batch.length > 0) yield batch;
      const next = await this.#chunks.next();
      if (next.done) break;
      this.#rest = this.#rest.length === 0 ? next.value : Buffer.concat([this.#rest, next.value]);
    }
    if (this.#rest.length > 0) throw this.#truncated();
  }

  /** All records that are complete. */
  #parse(): PcapPacket[] {
    const packets: PcapPacket[] = [];
    const rest = this.#rest;
    const view = new DataView(rest.buffer, rest.byteOffset, rest.length);
    let at = 0;
    while (rest.length - at >= RECORD_HEADER_BYTES) {
      const packet = this.#record(view, at);
      const end = at + RECORD_HEADER_BYTES + packet.captured;
      if (end > rest.length) break;
      const { seconds, fraction, originalBytes } = packet;
      packets.push({ bytes: rest.subarray(at + RECORD_HEADER_BYTES, end), originalBytes, seconds, fraction });
      this.#packets++;
      at = end;
    }
    this.#rest = rest.subarray(at);
    this.#offset += at;
    return packets;
  }

  #record(view: DataView, at: number): Omit<PcapPacket, "bytes"> & { captured: number } {
    const { littleEndian, snaplen } = this.header;
    const captured = view.getUint32(at + RECORD_CAPTURED, littleEndian);
    const originalBytes = view.getUint32(at + RECORD_ORIGINAL, littleEndian);
    const most = snaplen === 0 ? MAX_PACKET_BYTES : Math.min(snaplen, MAX_PACKET_BYTES);
    const fail = (problem: string) =>
      new PcapError(
        this.#file,
        this.#offset + at,
        `packet ${this.#packets} ${problem}: the file is damaged, or was not written by a pcap writer`,
      );
    if (captured > most) {
      const limit = most === MAX_PACKET_BYTES ? "the most that any capture keeps" : "the file's snaplen";
      throw fail(`claims ${captured} captured bytes, expected at most ${most}, ${limit}`);
    }
    if (captured > originalBytes) {
      throw fail(`claims ${captured} captured bytes of ${originalBytes}, expected no more than it had`);
    }
    return {
      seconds: view.getUint32(at + RECORD_SECONDS, littleEndian),
      fraction: view.getUint32(at + RECORD_FRACTION, littleEndian),
      captured,
      originalBytes,
    };
  }

  #truncated(): PcapError {
    const rest = this.#rest;
    let missing = `${rest.length} of the ${RECORD_HEADER_BYTES} bytes of its record header`;
    if (rest.length >= RECORD_HEADER_BYTES) {
      const view = new DataView(rest.buffer, rest.byteOffset, rest.length);
      const captured = view.getUint32(RECORD_CAPTURED, this.header.littleEndian);
      missing = `${rest.length - RECORD_HEADER_BYTES} of its ${captured} bytes`;
    }
    const message = `the file ends within packet ${this.#packets}, with ${missing}: it was cut off, or is still being written`;
    return new PcapError(this.#file, this.#offset, message);
  }
}

/**
 * Opens a capture; `-` is standard input.
 * @throws PcapError for what is not a classic pcap of Ethernet frames, or cannot be read
 */
export async function openPcap(file: string): Promise<PcapReader> {
  const name = file === "-" ? "standard input" : file;
  const chunks = read(
    name,
    file === "-" ? process.stdin : createReadStream(file, { highWaterMark: CHUNK_BYTES }),
  );
  let start: Uint8Array = new Uint8Array(0);
  while (start.length < FILE_HEADER_BYTES) {
    const next = await chunks.next();
    if (next.done) break;
    start = Buffer.concat([start, next.value]);
  }
  const header = parseHeader(name, start);
  return new PcapReader(name, header, start.subarray(FILE_HEADER_BYTES), chunks, sizeOf(file));
}

function sizeOf(file: string): number | undefined {
  const stat = file === "-" ? undefined : statSync(file, { throwIfNoEntry: false });
  return stat?.isFile() ? stat.size : undefined;
}

/** The stream's chunks; its errors as PcapError. */
async function* read(name: string, stream: NodeJS.ReadableStream): AsyncGenerator<Uint8Array, void, void> {
  try {
    for await (const chunk of stream) yield chunk as Buffer;
  } catch (error) {
    throw new PcapError(name, undefined, `${unreadable(error)}, ${CLASSIC}`, error);
  }
}

function unreadable(error: unknown): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case "ENOENT":
      return "there is no such file";
    case "ENOTDIR":
      return "a part of its path is no directory";
    case "EISDIR":
      return "it is a directory";
    case "EACCES":
    case "EPERM":
      return "it may not be read by this user";
    default:
      return `it cannot be read (${error instanceof Error ? error.message : error})`;
  }
}

function parseHeader(file: string, start: Uint8Array): PcapHeader {
  const fail = (offset: number | undefined, message: string) => new PcapError(file, offset, message);
  if (start.length === 0) throw fail(undefined, `it is empty, ${CLASSIC}`);
  const hex = Buffer.from(start.subarray(0, 4)).toString("hex");
  const other = OTHER_FORMATS.find(([first]) => hex.startsWith(first));
  if (other) throw fail(0, `it ${other[1]}, ${CLASSIC}: ${other[2]}`);
  if (start.length < FILE_HEADER_BYTES) {
    throw fail(
      start.length,
      `it ends within the file header, ${CLASSIC} of at least ${FILE_HEADER_BYTES} bytes`,
    );
  }
  const view = new DataView(start.buffer, start.byteOffset, start.length);
  const magics = [MAGIC_MICROSECONDS, MAGIC_NANOSECONDS];
  const littleEndian = magics.includes(view.getUint32(FILE_MAGIC, true));
  const magic = view.getUint32(FILE_MAGIC, littleEndian);
  if (!magics.includes(magic)) {
    throw fail(
      FILE_MAGIC,
      `it begins with ${hex}, ${CLASSIC}, which begins with a1b2c3d4 or a1b23c4d in either byte order`,
    );
  }
  const version = [view.getUint16(FILE_MAJOR, littleEndian), view.getUint16(FILE_MINOR, littleEndian)];
  if (version[0] !== VERSION_MAJOR || version[1] !== VERSION_MINOR) {
    throw fail(FILE_MAJOR, `its version is ${version.join(".")}, expected ${VERSION_MAJOR}.${VERSION_MINOR}`);
  }
  const link = view.getUint32(FILE_LINK_TYPE, littleEndian);
  if ((link & LINK_TYPE_MASK) !== LINK_TYPE_ETHERNET) {
    const message = `its link type is ${link & LINK_TYPE_MASK}, expected 1, Ethernet: capture on one interface, not on "any"`;
    throw fail(FILE_LINK_TYPE, message);
  }
  if (link & FCS_PRESENT) {
    throw fail(
      FILE_LINK_TYPE,
      "its frames carry their FCS, expected frames without: cut it with `editcap -C -4 IN OUT`",
    );
  }
  return {
    nanoseconds: magic === MAGIC_NANOSECONDS,
    littleEndian,
    snaplen: view.getUint32(FILE_SNAPLEN, littleEndian),
  };
}
