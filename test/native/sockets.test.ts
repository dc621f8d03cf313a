// Opening and closing sockets: what fits, what is refused and in which words.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { afterEach, before, test } from "node:test";
import type { SocketOptions } from "../../build/native.d.ts";
import { native } from "./addon.ts";
import { ENTRIES, FRAME_BYTES, TestArena } from "./arena.ts";
import { createVeth, enterNamespace, withoutRoot } from "./namespace.ts";

enterNamespace(import.meta.filename);

const skip = withoutRoot;
let arena = new TestArena();

before(() => {
  if (!skip) createVeth("near", "far");
});
afterEach(() => {
  arena.close();
  arena = new TestArena();
});

test("a queue's first socket has four rings inside its slots, a further one has two", { skip }, () => {
  const options = arena.options("near", 0);
  const first = arena.openWith(options);
  for (const kind of ["rx", "tx", "fill", "completion"] as const) {
    const ring = first[kind]!;
    const start = options.rings[kind]!;
    const end = start + native.ringBytes(ENTRIES, kind === "rx" || kind === "tx" ? 16 : 8);
    assert.equal(ring.mask, ENTRIES - 1);
    for (const offset of [ring.producer, ring.consumer, ring.flags, ring.descriptors]) {
      assert.ok(offset >= start && offset < end && offset % 4 === 0);
    }
  }
  const further = arena.open("near", 0, first);
  assert.equal(further.fill, undefined);
  assert.equal(further.completion, undefined);
  assert.equal(further.mode, first.mode);
});

test("ringBytes is the descriptors in whole pages and one page", () => {
  assert.equal(native.ringBytes(2048, 16), 2048 * 16 + 4096);
  assert.equal(native.ringBytes(64, 8), 4096 + 4096);
});

test("auto falls back to copy mode where the driver has no zero-copy", { skip }, () => {
  assert.equal(arena.open("near", 0).mode, "copy");
  assert.equal(arena.openWith({ ...arena.options("near", 1), mode: "copy", busyPollUs: 20 }).mode, "copy");
});

test("zero-copy alone is refused with the way out", { skip }, () => {
  const options: SocketOptions = { ...arena.options("near", 0), mode: "zero-copy" };
  assert.throws(() => arena.openWith(options), {
    code: "EOPNOTSUPP",
    message: /queue 0 of near.*use mode 'auto' or 'copy'/,
  });
});

test("an interface or a queue that does not exist is named", { skip }, () => {
  assert.throws(() => arena.open("nowhere", 0), {
    code: "ENODEV",
    message: /interface "nowhere": No such device.*ip link/,
  });
  assert.throws(() => arena.open("near", 2), { code: "EINVAL", message: /queue 2 of near.*ethtool -l/ });
});

test("a queue that another process has is busy", { skip }, () => {
  arena.open("near", 1);
  const child = `
    const { TestArena } = await import(${JSON.stringify(import.meta.resolve("./arena.ts"))});
    try { new TestArena().open("near", 1); } catch (error) { console.log(error.code + " " + error.message); }`;
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", child], { encoding: "utf8" });
  assert.match(
    stdout,
    /^EBUSY binding an AF_XDP socket to queue 1 of near: .*another socket has this queue: `ss --xdp -p`/,
  );
});

test("sharing another queue's socket is refused", { skip }, () => {
  const first = arena.open("near", 0);
  assert.throws(() => arena.open("near", 1, first), {
    code: "EINVAL",
    message: /sharedWith must be the first socket of the same queue/,
  });
});

test("offsets and sizes that do not fit are refused before the kernel is asked", { skip }, () => {
  const size = arena.bytes.length;
  const wrong: [string, (options: SocketOptions) => void, RegExp][] = [
    [
      "an unaligned ring",
      (o) => {
        o.rings.rx += 64;
      },
      /RX ring: offset is \d+, expected a multiple of 4096/,
    ],
    [
      "a ring beyond the end",
      (o) => {
        o.rings.tx = size - 4096;
      },
      /TX ring: length is \d+, expected 1 to 4096 bytes/,
    ],
    [
      "a negative offset",
      (o) => {
        o.rings.fill = -4096;
      },
      /FILL ring: offset is -4096/,
    ],
    [
      "a fraction",
      (o) => {
        o.rings.completion = 0.5;
      },
      /COMPLETION ring: offset is 0.5/,
    ],
    [
      "no number",
      (o) => {
        o.rings.rx = Number.NaN;
      },
      /RX ring: offset is NaN/,
    ],
    [
      "entries that are no power of two",
      (o) => {
        o.entries.rx = 1000;
      },
      /RX ring: entries is 1000, expected a power of two/,
    ],
    [
      "no entries",
      (o) => {
        o.entries.tx = 0;
      },
      /TX ring: entries is 0/,
    ],
    [
      "too many entries",
      (o) => {
        o.entries.tx = 2 ** 31;
      },
      /TX ring: entries is 2147483648/,
    ],
    [
      "frames beyond the end",
      (o) => {
        o.frames.bytes = size;
      },
      /frames: length is/,
    ],
    [
      "half a frame",
      (o) => {
        o.frames.bytes += FRAME_BYTES / 2;
      },
      /expected a multiple of the frame size 2048/,
    ],
    [
      "another frame size",
      (o) => {
        o.frames.frameBytes = 1024;
      },
      /frameBytes is 1024, expected 2048 or 4096/,
    ],
    [
      "no FILL ring",
      (o) => {
        delete o.rings.fill;
      },
      /FILL ring is missing/,
    ],
    [
      "an unknown mode",
      (o) => {
        Object.assign(o, { mode: "fast" });
      },
      /mode is "fast", expected 'auto', 'zero-copy' or 'copy'/,
    ],
  ];
  for (const [name, change, message] of wrong) {
    const options = arena.options("near", 0);
    change(options);
    assert.throws(() => arena.openWith(options), { code: "ERR_NATIVE_ARGUMENT", message }, name);
  }
  const first = arena.open("near", 0);
  const further = { ...arena.options("near", 0), sharedWith: first.fd };
  assert.throws(() => arena.openWith(further), {
    code: "ERR_NATIVE_ARGUMENT",
    message: /FILL ring is given, expected none/,
  });
});

test("memory must be a Uint8Array", () => {
  const closeSocket = native.closeSocket as (memory: unknown, fd: number) => void;
  assert.throws(() => closeSocket(new Int32Array(4), 1), /expected a Uint8Array over the whole arena/);
  assert.throws(() => closeSocket(undefined, 1), /expected a Uint8Array over the whole arena/);
});

test("after closing, the slots are zeroed memory and the queue is free", { skip }, () => {
  const options = arena.options("near", 0);
  for (let round = 0; round < 3; round++) {
    const socket = native.openSocket(arena.bytes, options);
    arena.fill(socket.fill!, [1, 2, 3]);
    assert.equal(arena.used(socket.fill!), 3);
    assert.throws(() => native.closeSocket(new Uint8Array(64), socket.fd), /opened with/);
    native.closeSocket(arena.bytes, socket.fd);
    const slot = arena.bytes.subarray(
      options.rings.fill!,
      options.rings.fill! + native.ringBytes(ENTRIES, 8),
    );
    assert.ok(slot.every((byte) => byte === 0));
    slot.fill(round);
    assert.throws(() => native.closeSocket(arena.bytes, socket.fd), { code: "ERR_NATIVE_ARGUMENT" });
    assert.throws(() => native.socketStatistics(socket.fd), { code: "EBADF", message: /was it closed/ });
  }
});

test("a refused socket leaves the arena as it was", { skip }, () => {
  const options = arena.options("near", 9);
  arena.bytes.fill(7, options.rings.tx, options.rings.tx + 4096);
  assert.throws(() => arena.openWith(options), { code: "EINVAL" });
  arena.bytes.fill(8, options.rings.tx, options.rings.tx + 4096);
  assert.equal(arena.bytes[options.rings.tx + 4095], 8);
});

test("an arena of 4 GiB, with rings and frames above 2 GiB", { skip }, () => {
  const memory = new WebAssembly.Memory({ initial: 65536, maximum: 65536, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  const rings = 0xf000_0000;
  const socket = native.openSocket(bytes, {
    interface: "near",
    queue: 0,
    frames: { offset: 0xff00_0000, bytes: 0x100_0000, frameBytes: 4096 },
    rings: { rx: rings, tx: rings + 0x10000, fill: rings + 0x20000, completion: rings + 0x30000 },
    entries: { rx: 64, tx: 64, fill: 64, completion: 64 },
    mode: "auto",
  });
  assert.ok(socket.rx.producer >= rings && socket.completion!.descriptors < rings + 0x40000);
  native.dontFork(bytes, 0, bytes.length);
  native.closeSocket(bytes, socket.fd);
});
