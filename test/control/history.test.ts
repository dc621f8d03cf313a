// The audit log and the last good configuration on real files: nothing is lost, torn or readable by others.

import assert from "node:assert/strict";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, type TestContext, test } from "node:test";
import { pino } from "pino";
import { type AuditEntry, History } from "../../src/control/history.ts";

const MOST = 1000;

class Bed {
  readonly folder = mkdtempSync(join(tmpdir(), "guideway-history-"));
  readonly state = join(this.folder, "a", "state");
  readonly audit = join(this.state, "audit.jsonl");
  readonly lastGood = join(this.state, "last-good.yaml");
  readonly log: { level: number; msg: string }[] = [];
  history = this.open();

  constructor(test: TestContext) {
    test.after(() => rmSync(this.folder, { recursive: true, force: true }));
  }

  /** As the next process would. */
  open(retryMs?: number): History {
    const write = (line: string) => void this.log.push(JSON.parse(line));
    return new History(this.state, pino({ level: "trace" }, { write }), retryMs);
  }

  note(detail: string): void {
    this.history.note({
      by: "command",
      user: "ann",
      action: "drain",
      target: "web/a",
      outcome: "applied",
      detail,
    });
  }

  lines(): string[] {
    return readFileSync(this.audit, "utf8").split("\n");
  }

  details(): string[] {
    return this.lines()
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as AuditEntry).detail);
  }

  /** Makes a file impossible to write, also for root. */
  block(file: string): void {
    mkdirSync(file, { recursive: true });
  }
}

suite("history", () => {
  test("an entry is a line with everything in it, in files that are their owner's alone", async (t) => {
    const bed = new Bed(t);
    bed.note("3 active flows");
    bed.history.keep("pools: {}\n");
    await bed.history.settled();
    const [line, end] = bed.lines();
    const { at, ...rest } = JSON.parse(line!);
    assert.ok(Math.abs(Date.now() - Date.parse(at)) < 10_000, at);
    assert.deepEqual(rest, {
      by: "command",
      user: "ann",
      action: "drain",
      target: "web/a",
      outcome: "applied",
      detail: "3 active flows",
    });
    assert.equal(end, "");
    assert.equal(readFileSync(bed.lastGood, "utf8"), "pools: {}\n");
    const modes = [bed.audit, bed.lastGood, bed.state].map((file) => statSync(file).mode & 0o777);
    assert.deepEqual(modes, [0o600, 0o600, 0o700]);
    assert.deepEqual(readdirSync(bed.state).sort(), ["audit.jsonl", "last-good.yaml"]);
  });

  test("only ever appended to: another process goes on where the one before ended", async (t) => {
    const bed = new Bed(t);
    bed.note("first");
    await bed.history.settled();
    const before = readFileSync(bed.audit);
    bed.history = bed.open();
    assert.deepEqual(bed.history.entries(10), [], "entries are those of this process");
    bed.note("second");
    await bed.history.settled();
    assert.deepEqual(readFileSync(bed.audit).subarray(0, before.length), before);
    assert.deepEqual(bed.details(), ["first", "second"]);
  });

  test("entries that come while others are written are written, too, once and in order", async (t) => {
    const bed = new Bed(t);
    const expected: string[] = [];
    for (let i = 0; i < 200; i++) {
      expected.push(`${i}`);
      bed.note(`${i}`);
      if (i % 7 === 0) await new Promise(setImmediate);
    }
    await bed.history.settled();
    assert.deepEqual(bed.details(), expected);
    assert.equal(bed.history.status().audit.pending, 0);
  });

  test("a multi-line detail is one line", async (t) => {
    const bed = new Bed(t);
    bed.note("c.yaml:1:1: one\nc.yaml:2:1: two\u2028three");
    await bed.history.settled();
    assert.equal(bed.lines().length, 2);
    assert.deepEqual(bed.details(), ["c.yaml:1:1: one\nc.yaml:2:1: two\u2028three"]);
  });

  test("half a line that a crash has left stays alone", async (t) => {
    const bed = new Bed(t);
    bed.note("whole");
    await bed.history.settled();
    appendFileSync(bed.audit, '{"at":"2026-');
    bed.history = bed.open();
    bed.note("after");
    bed.note("and more");
    await bed.history.settled();
    const lines = bed.lines();
    assert.equal(lines[1], '{"at":"2026-');
    assert.deepEqual(
      [lines[0], lines[2], lines[3]].map((line) => JSON.parse(line!).detail),
      ["whole", "after", "and more"],
    );
    assert.equal(lines.length, 5);
  });

  test("what cannot be written is told, kept, and written with the next change, whichever it is", async (t) => {
    const bed = new Bed(t);
    bed.block(bed.audit);
    bed.block(join(bed.lastGood, "in the way"));
    bed.note("one");
    bed.history.keep("text: 1\n");
    await bed.history.settled();
    bed.note("two");
    await bed.history.settled();
    const { audit, lastGood } = bed.history.status();
    assert.deepEqual([audit.pending, audit.lost, audit.writtenAt], [2, 0, undefined]);
    assert.match(audit.error!, /EISDIR/);
    assert.match(lastGood.error!, /EISDIR|ENOTEMPTY/);
    const errors = bed.log.filter(({ level }) => level === 50);
    assert.deepEqual(
      errors.map(({ msg }) => msg),
      ["cannot be written; traffic goes on", "cannot be written; traffic goes on"],
      "the same trouble is logged once for each file",
    );
    rmdirSync(bed.audit);
    rmSync(bed.lastGood, { recursive: true });
    bed.note("three");
    await bed.history.settled();
    assert.deepEqual(bed.details(), ["one", "two", "three"]);
    assert.equal(readFileSync(bed.lastGood, "utf8"), "text: 1\n");
    const now = bed.history.status();
    assert.deepEqual([now.audit.error, now.audit.pending, now.lastGood.error], [undefined, 0, undefined]);
    assert.ok(now.audit.writtenAt && now.lastGood.writtenAt);
  });

  test("it is tried again by itself, and at the end once more", async (t) => {
    const bed = new Bed(t);
    bed.history = bed.open(10);
    bed.block(bed.audit);
    bed.block(join(bed.lastGood, "in the way"));
    bed.note("one");
    bed.history.keep("text: 1\n");
    await bed.history.settled();
    rmdirSync(bed.audit);
    rmSync(bed.lastGood, { recursive: true });
    const isWritten = () => bed.history.status().audit.error ?? bed.history.status().lastGood.error;
    while (isWritten() !== undefined) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(bed.details(), ["one"]);
    assert.equal(readFileSync(bed.lastGood, "utf8"), "text: 1\n");
    rmSync(bed.audit);
    bed.history = bed.open(60_000);
    bed.block(bed.audit);
    bed.note("two");
    await bed.history.settled();
    rmdirSync(bed.audit);
    await bed.history.stop();
    assert.deepEqual(bed.details(), ["two"]);
  });

  test("at most a thousand wait; those that were given up are counted", async (t) => {
    const bed = new Bed(t);
    bed.block(bed.audit);
    for (let i = 0; i < MOST + 5; i++) bed.note(`${i}`);
    await bed.history.settled();
    const { pending, lost } = bed.history.status().audit;
    assert.deepEqual([pending, lost], [MOST, 5]);
    assert.equal(bed.history.entries(5000).length, MOST, "and no more are shown");
    assert.deepEqual(
      bed.history.entries(2).map(({ detail }) => detail),
      [`${MOST + 3}`, `${MOST + 4}`],
      "the latest, oldest first",
    );
    rmdirSync(bed.audit);
    bed.note("last");
    await bed.history.settled();
    const details = bed.details();
    assert.deepEqual([details.length, details[0], details.at(-1)], [MOST, "6", "last"]);
    assert.equal(bed.history.status().audit.lost, 6, "the oldest had to go for the last");
  });

  test("a crash between writing and renaming leaves the old configuration", async (t) => {
    const bed = new Bed(t);
    bed.history.keep("old\n");
    await bed.history.settled();
    writeFileSync(`${bed.lastGood}.next`, "half of the ne");
    assert.equal(readFileSync(bed.lastGood, "utf8"), "old\n");
    bed.history = bed.open();
    bed.history.keep("new\n");
    await bed.history.settled();
    assert.equal(readFileSync(bed.lastGood, "utf8"), "new\n");
    assert.deepEqual(readdirSync(bed.state), ["last-good.yaml"]);
  });

  test("a reader never sees less than a whole configuration", async (t) => {
    const bed = new Bed(t);
    const texts = ["a", "b"].map((letter) => `${letter.repeat(1 << 20)}\n`);
    bed.history.keep(texts[0]!);
    await bed.history.settled();
    let done = false;
    for (let i = 1; i < 20; i++) bed.history.keep(texts[i % 2]!);
    const settled = bed.history.settled().then(() => {
      done = true;
    });
    let seen = 0;
    while (!done) {
      assert.ok(texts.includes(readFileSync(bed.lastGood, "utf8")));
      seen++;
      await new Promise(setImmediate);
    }
    await settled;
    assert.ok(seen > 0);
    assert.equal(readFileSync(bed.lastGood, "utf8"), texts[1]);
  });

  test("the full disk of a device", async (t) => {
    const bed = new Bed(t);
    // Every write to it fails as on a full disk.
    mkdirSync(bed.state, { recursive: true });
    symlinkSync("/dev/full", bed.audit);
    bed.note("one");
    await bed.history.settled();
    assert.match(bed.history.status().audit.error!, /ENOSPC/);
    assert.equal(bed.history.status().audit.pending, 1);
    unlinkSync(bed.audit);
    bed.note("two");
    await bed.history.settled();
    assert.deepEqual(bed.details(), ["one", "two"]);
  });
});
