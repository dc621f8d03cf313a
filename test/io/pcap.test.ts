// Both directions of src/io/pcap*.ts against an encoder of its own.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import fc from "fast-check";
import { encodePcapHeader, encodePcapRecords, PcapError, type PcapPacket } from "../../src/io/pcap.ts";
import { openPcap, PcapReader } from "../../src/io/pcap-reader.ts";
import { capture, WRONG_CAPTURES } from "./captures.ts";

const directory = mkdtempSync(join(tmpdir(), "guideway-pcap-"));
after(() => rmSync(directory, { recursive: true }));

function fileOf(bytes: Uint8Array): string {
  const file = join(directory, "in.pcap");
  writeFileSync(file, bytes);
  return file;
}

async function packetsOf(reader: PcapReader): Promise<PcapPacket[]> {
  const packets: PcapPacket[] = [];
  for await (const batch of reader.batches()) packets.push(...batch);
  return packets;
}

/** As plain values, whatever buffer they lie in. */
const plain = (packets: readonly PcapPacket[]) =>
  packets.map(({ bytes, ...rest }) => ({ ...rest, bytes: Buffer.from(bytes).toString("hex") }));

const word = fc.integer({ min: 0, max: 0xffffffff });
const record = fc.record({
  bytes: fc.uint8Array({ maxLength: 100 }),
  seconds: word,
  fraction: word,
  lost: fc.constantFrom(0, 0, 0, 1, 1000),
});
const records = fc.array(record, { maxLength: 20 });

suite("reading", () => {
  for (const littleEndian of [true, false]) {
    for (const nanoseconds of [true, false]) {
      const order = littleEndian ? "little-endian" : "big-endian";
      test(`${order}, ${nanoseconds ? "nanoseconds" : "microseconds"}`, async () => {
        await fc.assert(
          fc.asyncProperty(records, async (list) => {
            const written = list.map(({ lost, ...each }) => ({
              ...each,
              original: each.bytes.length + lost,
            }));
            const reader = await openPcap(fileOf(capture(written, { littleEndian, nanoseconds })));
            assert.deepEqual(reader.header, { littleEndian, nanoseconds, snaplen: 65535 });
            const expected = written.map(({ original, ...each }) => ({ ...each, originalBytes: original }));
            assert.deepEqual(plain(await packetsOf(reader)), plain(expected));
          }),
          { numRuns: 20, seed: 1 },
        );
      });
    }
  }

  test("records may be cut anywhere between chunks", async () => {
    await fc.assert(
      fc.asyncProperty(records, fc.integer({ min: 1, max: 60 }), async (list, size) => {
        const bytes = capture(list).subarray(24);
        async function* chunks() {
          for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
        }
        const header = { littleEndian: true, nanoseconds: false, snaplen: 65535 };
        const reader = new PcapReader("in", header, new Uint8Array(0), chunks());
        const found = await packetsOf(reader);
        assert.deepEqual(
          found.map((each) => [...each.bytes]),
          list.map((each) => [...each.bytes]),
        );
        assert.equal(reader.offset, 24 + bytes.length);
      }),
      { numRuns: 50, seed: 1 },
    );
  });

  test("a snaplen of 0 is no limit", async () => {
    const packets = await packetsOf(
      await openPcap(fileOf(capture([{ bytes: new Uint8Array(70_000) }], { snaplen: 0 }))),
    );
    assert.equal(packets[0]!.bytes.length, 70_000);
  });

  test("a capture without packets", async () => {
    const reader = await openPcap(fileOf(capture([])));
    assert.deepEqual(await packetsOf(reader), []);
    assert.equal(reader.totalBytes, 24);
  });

  test("memory does not grow with the capture", async () => {
    const chunk = capture(Array.from({ length: 1000 }, () => ({ bytes: new Uint8Array(1500) }))).subarray(24);
    const chunks = 200;
    async function* endless() {
      for (let i = 0; i < chunks; i++) yield Uint8Array.from(chunk);
    }
    const header = { littleEndian: true, nanoseconds: false, snaplen: 65535 };
    const reader = new PcapReader("in", header, new Uint8Array(0), endless());
    let packets = 0;
    let most = 0;
    for await (const batch of reader.batches()) {
      packets += batch.length;
      most = Math.max(most, batch.length);
    }
    assert.equal(packets, 1000 * chunks);
    // A batch is a chunk's, so nothing older than the chunk before is referred to.
    assert.ok(most <= 1001, `${most} packets in a batch`);
  });
});

suite("what cannot be read", () => {
  for (const [what, bytes, offset, says] of WRONG_CAPTURES) {
    test(what, async () => {
      const file = fileOf(bytes);
      await assert.rejects(
        async () => packetsOf(await openPcap(file)),
        (error: PcapError) => {
          assert.ok(error instanceof PcapError);
          assert.equal(error.code, "PCAP");
          assert.equal(error.exitCode, 1);
          assert.equal(error.file, file);
          assert.equal(error.offset, offset);
          assert.match(error.message, says);
          assert.match(error.message, offset === undefined ? /^\S+: it / : new RegExp(`: byte ${offset}: `));
          return true;
        },
      );
    });
  }

  test("a missing file", async () => {
    await assert.rejects(
      openPcap(join(directory, "none.pcap")),
      /none\.pcap: there is no such file, expected a classic pcap file/,
    );
  });

  test("a directory", async () => {
    await assert.rejects(openPcap(directory), /it is a directory, expected a classic pcap file/);
  });

  test("a path through a file", async () => {
    await assert.rejects(openPcap(join(fileOf(capture([])), "x")), /a part of its path is no directory/);
  });
});

suite("writing", () => {
  for (const nanoseconds of [true, false]) {
    test(`what is written is read, with ${nanoseconds ? "nanoseconds" : "microseconds"}`, async () => {
      await fc.assert(
        fc.asyncProperty(records, async (list) => {
          const packets = list.map(({ lost, ...each }) => ({
            ...each,
            originalBytes: each.bytes.length + lost,
          }));
          const reader = await openPcap(
            fileOf(Buffer.concat([encodePcapHeader(nanoseconds), encodePcapRecords(packets)])),
          );
          assert.deepEqual(reader.header, { littleEndian: true, nanoseconds, snaplen: 262144 });
          assert.deepEqual(plain(await packetsOf(reader)), plain(packets));
        }),
        { numRuns: 20, seed: 1 },
      );
    });
  }

  test("byte for byte", () => {
    const records = [{ bytes: Uint8Array.of(1, 2, 3), seconds: 5, fraction: 6, original: 9 }];
    const packets = [{ bytes: Uint8Array.of(1, 2, 3), seconds: 5, fraction: 6, originalBytes: 9 }];
    assert.deepEqual(
      Buffer.concat([encodePcapHeader(false), encodePcapRecords(packets)]),
      capture(records, { snaplen: 262144 }),
    );
  });
});
