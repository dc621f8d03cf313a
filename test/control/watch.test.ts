// A watched file on a real file system: each way of writing it is noticed once, and nothing else is.

import assert from "node:assert/strict";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { watchFile } from "../../src/control/watch.ts";

const SOON_MS = 3000;
/** Longer than a change takes to settle: what has not been noticed by now is not noticed. */
const QUIET_MS = 500;

class Watched {
  readonly folder: string;
  readonly file: string;
  readonly log: { level: number; reason: string; msg: string }[] = [];
  #calls = 0;
  #heard = () => {};
  unwatch: () => void;

  constructor(test: TestContext, file = "guideway.yaml", prepare: (folder: string) => void = () => {}) {
    this.folder = mkdtempSync(join(tmpdir(), "guideway-watch-"));
    this.file = join(this.folder, file);
    prepare(this.folder);
    const changed = () => {
      this.#calls++;
      this.#heard();
    };
    const log = pino({ level: "trace" }, { write: (line: string) => void this.log.push(JSON.parse(line)) });
    this.unwatch = watchFile(this.file, changed, log);
    test.after(() => {
      this.unwatch();
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  /** Waits for a call, and longer than a second one would take. */
  async calls(): Promise<number> {
    if (this.#calls === 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#heard = resolve;
      await Promise.race([promise, sleep(SOON_MS)]);
    }
    await sleep(QUIET_MS);
    const calls = this.#calls;
    this.#calls = 0;
    return calls;
  }

  async quiet(): Promise<void> {
    await sleep(QUIET_MS);
    assert.equal(this.#calls, 0);
  }
}

const written = (folder: string) => writeFileSync(join(folder, "guideway.yaml"), "one\n");

suite("watching a file", { concurrency: true }, () => {
  test("written in place", async (t) => {
    const watched = new Watched(t, undefined, written);
    writeFileSync(watched.file, "two\n");
    assert.equal(await watched.calls(), 1);
    appendFileSync(watched.file, "three\n");
    assert.equal(await watched.calls(), 1, "and again");
  });

  test("replaced by another, and again", async (t) => {
    const watched = new Watched(t, undefined, written);
    for (const text of ["two\n", "three\n"]) {
      writeFileSync(join(watched.folder, ".new"), text);
      renameSync(join(watched.folder, ".new"), watched.file);
      assert.equal(await watched.calls(), 1, text);
    }
  });

  test("a link swapped, as in a mounted ConfigMap", async (t) => {
    const watched = new Watched(t, undefined, (folder) => {
      for (const version of ["v1", "v2"]) {
        mkdirSync(join(folder, version));
        writeFileSync(join(folder, version, "guideway.yaml"), version);
      }
      symlinkSync("v1", join(folder, "..data"));
      symlinkSync("..data/guideway.yaml", join(folder, "guideway.yaml"));
    });
    symlinkSync("v2", join(watched.folder, "..next"));
    renameSync(join(watched.folder, "..next"), join(watched.folder, "..data"));
    assert.equal(await watched.calls(), 1);
  });

  test("a burst of writes is one change, after the last of them", async (t) => {
    const watched = new Watched(t, undefined, written);
    for (let i = 0; i < 10; i++) {
      writeFileSync(watched.file, `${i}\n`);
      await sleep(20);
    }
    assert.equal(await watched.calls(), 1);
  });

  test("other files of the folder, however often they are written, neither count nor delay", async (t) => {
    const watched = new Watched(t, undefined, written);
    const noise = setInterval(() => writeFileSync(join(watched.folder, "noise.log"), "x"), 20);
    t.after(() => clearInterval(noise));
    await watched.quiet();
    writeFileSync(watched.file, "two\n");
    assert.equal(await watched.calls(), 1);
  });

  test("removed, and back", async (t) => {
    const watched = new Watched(t, undefined, written);
    rmSync(watched.file);
    assert.equal(await watched.calls(), 1);
    writeFileSync(watched.file, "two\n");
    assert.equal(await watched.calls(), 1);
  });

  test("a file that is not there yet", async (t) => {
    const watched = new Watched(t);
    writeFileSync(watched.file, "one\n");
    assert.equal(await watched.calls(), 1);
  });

  test("not after the end", async (t) => {
    const watched = new Watched(t, undefined, written);
    writeFileSync(watched.file, "two\n");
    watched.unwatch();
    await watched.quiet();
  });

  test("a folder that is not there is told, and nothing else happens", async (t) => {
    const watched = new Watched(t, "none/guideway.yaml");
    const [line] = watched.log;
    assert.equal(line!.level, 50);
    assert.match(line!.reason, /ENOENT/);
    assert.equal(line!.msg, "cannot be watched: reload it by command or signal");
    watched.unwatch();
  });
});
