// What is kept of workers' mishaps.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, type TestContext, test } from "node:test";
import { Mishaps } from "../../src/control/mishaps.ts";
import type { Mishap } from "../../src/dataplane/pool.ts";
import { keptLog } from "../health/observer.ts";
import { capture } from "../io/captures.ts";

const PACKETS = [Uint8Array.from({ length: 60 }, (_, i) => i), Uint8Array.from([1, 2, 3])];

function bed(t: TestContext) {
  const state = mkdtempSync(join(tmpdir(), "guideway-mishaps-"));
  t.after(() => rmSync(state, { recursive: true }));
  const { log, lines } = keptLog();
  const mishaps = new Mishaps(state, log);
  const note = (more: Partial<Mishap> = {}) =>
    mishaps.note({ worker: 1, kind: "trapped", cause: "out of bounds", packets: PACKETS, ...more });
  return { state, folder: join(state, "mishaps"), note, lines };
}

suite("mishaps of workers", () => {
  test("the packets are kept as a capture, which only its owner may read", (t) => {
    const { folder, note, lines } = bed(t);
    note();
    const [file, ...others] = readdirSync(folder);
    assert.deepEqual(others, []);
    assert.match(file!, /^\d{4}-\d\d-\d\dT.*-worker-1-trapped\.pcap$/);
    assert.equal(statSync(join(folder, file!)).mode & 0o777, 0o600);
    const written = readFileSync(join(folder, file!));
    const seconds = written.readUInt32LE(24);
    assert.ok(Math.abs(seconds - Date.now() / 1000) < 60);
    const records = PACKETS.map((bytes) => ({ bytes, seconds }));
    assert.deepEqual(written, capture(records, { snaplen: 262_144 }));
    assert.deepEqual(lines, ["error: a worker trapped, which is a defect: it goes on with its next batch"]);
  });

  test("each kind is said in its words; nothing in hand, nothing kept", (t) => {
    const { folder, note, lines } = bed(t);
    note({ kind: "died", packets: [], replacedInMs: 12.3 });
    note({ kind: "stuck", packets: [], replacedInMs: 12.3 });
    assert.throws(() => readdirSync(folder), { code: "ENOENT" });
    const over = "another thread has taken over; flows stay where they are";
    assert.deepEqual(lines, [
      `error: a worker's thread has ended by itself: ${over}`,
      `error: a worker's loop stood still: ${over}`,
    ]);
  });

  test("sixteen at most", (t) => {
    const { folder, note, lines } = bed(t);
    for (let worker = 0; worker < 20; worker++) note({ worker });
    assert.equal(readdirSync(folder).length, 16);
    assert.equal(lines.length, 20);
  });

  test("a folder that cannot be had is said, and nothing else is lost", (t) => {
    const { state, note, lines } = bed(t);
    writeFileSync(join(state, "mishaps"), "in the way");
    note();
    assert.deepEqual(
      lines.map((line) => line.split(":")[0]),
      ["warn", "error"],
    );
    assert.equal(readFileSync(join(state, "mishaps"), "utf8"), "in the way");
  });
});
