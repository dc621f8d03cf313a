// Captures as bytes, written independently of src/io/pcap.ts, and a list of those that are wrong.

export interface CaptureOptions {
  littleEndian?: boolean;
  nanoseconds?: boolean;
  snaplen?: number;
  linkType?: number;
  magic?: number;
  version?: [number, number];
}

export interface CaptureRecord {
  bytes: Uint8Array;
  seconds?: number;
  fraction?: number;
  /** What the record header says; the truth unless given. */
  captured?: number;
  original?: number;
}

/** A classic pcap file: man 5 pcap-savefile. */
export function capture(records: readonly CaptureRecord[], options: CaptureOptions = {}): Buffer {
  const {
    littleEndian = true,
    nanoseconds = false,
    snaplen = 65535,
    linkType = 1,
    version = [2, 4],
  } = options;
  const magic = options.magic ?? (nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4);
  const u32 = (value: number) => {
    const bytes = Buffer.alloc(4);
    if (littleEndian) bytes.writeUInt32LE(value);
    else bytes.writeUInt32BE(value);
    return bytes;
  };
  const u16 = (value: number) => (littleEndian ? u32(value).subarray(0, 2) : u32(value).subarray(2));
  const header = [u32(magic), ...version.map(u16), u32(0), u32(0), u32(snaplen), u32(linkType)];
  const body = records.flatMap(({ bytes, seconds = 0, fraction = 0, captured, original }) => [
    u32(seconds),
    u32(fraction),
    u32(captured ?? bytes.length),
    u32(original ?? bytes.length),
    bytes,
  ]);
  return Buffer.concat([...header, ...body]);
}

const packet = new Uint8Array(60).fill(7);
const good = [{ bytes: packet }, { bytes: packet }];

/** What is wrong, the file, where it is said to be wrong, and what must be said. */
export const WRONG_CAPTURES: readonly [
  what: string,
  file: Buffer,
  offset: number | undefined,
  says: RegExp,
][] = [
  ["an empty file", Buffer.alloc(0), undefined, /it is empty, expected a classic pcap file/],
  ["a few bytes", capture([]).subarray(0, 3), 3, /ends within the file header.* 24 bytes/],
  ["half a file header", capture([]).subarray(0, 20), 20, /ends within the file header.* 24 bytes/],
  [
    "text",
    Buffer.from("#!/bin/sh\necho this is no capture\n"),
    0,
    /begins with 23212f62, expected .*a1b2c3d4 or a1b23c4d/,
  ],
  [
    "pcapng",
    Buffer.from("0a0d0d0a1c0000004d3c2b1a01000000ffffffffffffffff", "hex"),
    0,
    /pcapng.*editcap -F pcap IN OUT/,
  ],
  ["gzip", Buffer.from("1f8b0800000000000003", "hex"), 0, /compressed with gzip.*gunzip/],
  ["zstd", Buffer.from("28b52ffd0400", "hex"), 0, /compressed with zstd/],
  ["xz", Buffer.from("fd377a585a00", "hex"), 0, /compressed with xz/],
  ["modified pcap", capture(good, { magic: 0xa1b2cd34 }), 0, /"modified" pcap.*editcap/],
  [
    "modified pcap, the other byte order",
    capture(good, { magic: 0xa1b2cd34, littleEndian: false }),
    0,
    /"modified" pcap.*editcap/,
  ],
  ["an old version", capture(good, { version: [2, 3] }), 4, /version is 2\.3, expected 2\.4/],
  ["a version to come", capture(good, { version: [3, 0] }), 4, /version is 3\.0, expected 2\.4/],
  ["Linux cooked frames", capture(good, { linkType: 113 }), 20, /link type is 113, expected 1, Ethernet/],
  ["raw IP", capture(good, { linkType: 101, littleEndian: false }), 20, /link type is 101, expected 1/],
  ["frames with FCS", capture(good, { linkType: 0x24000001 }), 20, /FCS.*editcap -C -4/],
  [
    "half a record header",
    capture(good).subarray(0, 24 + 76 + 9),
    100,
    /within packet 1, with 9 of the 16 bytes of its record header/,
  ],
  [
    "a record header and no packet",
    capture(good).subarray(0, 24 + 76 + 16),
    100,
    /within packet 1, with 0 of its 60 bytes/,
  ],
  ["half a packet", capture(good).subarray(0, -1), 100, /within packet 1, with 59 of its 60 bytes/],
  [
    "an absurd length",
    capture([...good, { bytes: packet, captured: 0xffffffff, original: 0xffffffff }]),
    176,
    /packet 2 claims 4294967295 captured bytes, expected at most 65535, the file's snaplen/,
  ],
  [
    "a length above the snaplen",
    capture(good, { snaplen: 59 }),
    24,
    /packet 0 claims 60 captured bytes, expected at most 59, the file's snaplen/,
  ],
  [
    "an absurd length and an absurd snaplen",
    capture([{ bytes: packet, captured: 262145, original: 262145 }], { snaplen: 0xffffffff }),
    24,
    /expected at most 262144/,
  ],
  [
    "an absurd length without a snaplen",
    capture([{ bytes: packet, captured: 262145, original: 262145 }], { snaplen: 0 }),
    24,
    /expected at most 262144/,
  ],
  [
    "more captured than there was",
    capture([{ bytes: packet, original: 59 }]),
    24,
    /claims 60 captured bytes of 59/,
  ],
  [
    "lengths in the wrong byte order",
    capture([{ bytes: packet, captured: 60 << 24, original: 60 << 24 }]),
    24,
    /damaged/,
  ],
];
