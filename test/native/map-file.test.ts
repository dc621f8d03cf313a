// Files under parts of the arena: what is written on one side is there on the other, and what cannot be is refused.
import assert from "node:assert/strict";
import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { native } from "./addon.ts";

const PAGE = 4096;
const folder = mkdtempSync(join(tmpdir(), "guideway-map-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const arena = () => new Uint8Array(new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true }).buffer);
const file = (name: string) => openSync(join(folder, name), "w+", 0o600);

test("a mapped file is the memory, in two arenas at once, and around it nothing changes", () => {
  const fd = file("shared");
  native.reserveFile(fd, 3 * PAGE);
  writeSync(fd, "before", PAGE);
  const [one, other] = [arena(), arena()];
  one.fill(7);
  for (const each of [one, other]) native.mapFile(each, 2 * PAGE, 2 * PAGE, fd, PAGE);
  assert.equal(Buffer.from(one.slice(2 * PAGE, 2 * PAGE + 6)).toString(), "before");
  other.set(Buffer.from("after!"), 2 * PAGE);
  assert.equal(Buffer.from(one.slice(2 * PAGE, 2 * PAGE + 6)).toString(), "after!");
  const read = Buffer.alloc(6);
  readSync(fd, read, 0, 6, PAGE);
  assert.equal(read.toString(), "after!");
  assert.deepEqual([one[2 * PAGE - 1], one[4 * PAGE], one[4 * PAGE - 1]], [7, 7, 0]);
  closeSync(fd);
  one[3 * PAGE] = 9;
  assert.equal(other[3 * PAGE], 9, "the mapping outlives the descriptor");
});

test("what does not lie in the arena, or is no page, is refused", () => {
  const fd = file("refused");
  native.reserveFile(fd, PAGE);
  const memory = arena();
  const refused = (...[offset, bytes, at]: [number, number, number]) =>
    assert.throws(() => native.mapFile(memory, offset, bytes, fd, at), { code: "ERR_NATIVE_ARGUMENT" });
  refused(0, memory.length + PAGE, 0);
  refused(memory.length, PAGE, 0);
  refused(100, PAGE, 0);
  refused(0, 100, 0);
  refused(0, PAGE, 100);
  refused(0, PAGE, -PAGE);
  refused(0, PAGE, Number.NaN);
  assert.throws(() => native.mapFile(memory, 0, PAGE, -1, 0), { code: "EBADF" });
  assert.throws(() => native.reserveFile(fd, 2 ** 60), { code: "ERR_NATIVE_ARGUMENT" });
  closeSync(fd);
});

test("reserved bytes have blocks, and a file that is full of them is as long", () => {
  const fd = file("reserved");
  native.reserveFile(fd, 1 << 20);
  const { size, blocks } = fstatSync(fd);
  assert.deepEqual([size, blocks * 512 >= 1 << 20], [1 << 20, true]);
  closeSync(fd);
});

test("a lock is one descriptor's, until it is closed", () => {
  const [one, other] = [file("lock"), file("lock")];
  assert.deepEqual([native.tryLock(one), native.tryLock(one), native.tryLock(other)], [true, true, false]);
  closeSync(one);
  assert.equal(native.tryLock(other), true);
  closeSync(other);
  assert.throws(() => native.tryLock(other), { code: "EBADF" });
});

test("where in a huge page a byte lies goes up with it", () => {
  const memory = arena();
  const first = native.hugePageOffset(memory, 0);
  assert.equal(native.hugePageOffset(memory, 5), (first + 5) % (2 << 20));
  assert.throws(() => native.hugePageOffset(memory, memory.length), { code: "ERR_NATIVE_ARGUMENT" });
});
